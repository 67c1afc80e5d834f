# Attacks on who reads the feedback page; see tests/hostile_course.py. Whatever a student
# writes is text on it: no element, no attribute and no address comes from them.


# %% a script in an exception's message: it is text
def heat_inside(cam, box):
    raise ValueError("</p><script>attacked()</script><img src=x onerror=attacked()>")


# %% a script in an exception's type: it is text, or unknown
def heat_inside(cam, box):
    raise type("<script>attacked()</script>", (Exception,), {})("no")


# %% a script in what the answer returns: it is text
class Loud:
    def __repr__(self):
        return "<svg onload=attacked()><script>attacked()</script>"


def heat_inside(cam, box):
    return Loud()


# %% closing tags in the answer: they are text
def heat_inside(cam, box):
    """</code></pre></details></section><script>attacked()</script>

    <a href="javascript:attacked()">your result</a> {{ attacked }} {% raw %}
    """
    return 0.5


# %% active outputs: they are not on the page
from IPython.display import HTML, SVG, Javascript, Markdown, display

display(HTML("<script>attacked()</script>"), Javascript("attacked()"))
display(Markdown("<img src=x onerror=attacked()> [x](javascript:attacked())"))
display(SVG("<svg xmlns='http://www.w3.org/2000/svg' onload='attacked()'></svg>"))


def heat_inside(cam, box):
    display(HTML("<script>attacked()</script>"))
    return 0.5


# %% control characters and links of a terminal: they are taken out
def heat_inside(cam, box):
    link = "\x1b]8;;javascript:attacked()\x07click\x1b]8;;\x07"
    raise ValueError(f"\x1b[31m\x1b[2J{link}\x00\x08\x7f\u202e<script>attacked()")


# %% a very long message of tags: it is cut, and text
def heat_inside(cam, box):
    raise ValueError("<script>attacked()</script>" * 5000)


# %% messages that are hard to write down: the page is written all the same
calls = []


def heat_inside(cam, box):
    calls.append(box)
    raise ValueError(
        ("\udfff\ud800 <script>" if len(calls) % 2 else "\ufffe\uffff\x00")
    )


# %% a traceback of scripts: it is the instructor's, and text
def heat_inside(cam, box):
    source = "def f():\n    raise ValueError('<script>attacked()</script>')\nf()"
    exec(compile(source, "<script>attacked()</script>", "exec"))
