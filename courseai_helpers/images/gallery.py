"""The named photos of the lessons: where they come from, who made them, what license.

The first seven ship with scikit-image. The others are not part of this package: they
are fetched from Wikimedia Commons when a reader asks for them.
"""

from typing import NamedTuple

_COMMONS = "https://commons.wikimedia.org/wiki"
_SCIKIT_IMAGE = "https://scikit-image.org/docs/stable/api/skimage.data.html"


class Photo(NamedTuple):
    """A photo's source and credit.

    Attributes:
        page: Address of the page that describes it.
        author: Who made it.
        license: The terms under which it may be shown.
        file: For a bundled photo, its file in scikit-image's data.
        url: For a photo from the web, the address of the picture.
        fallback: For a photo from the web, the bundled one that stands in offline.
    """

    page: str
    author: str
    license: str
    file: str = ""
    url: str = ""
    fallback: str = ""


def _bundled(file: str, author: str, license: str) -> Photo:
    return Photo(_SCIKIT_IMAGE, author, license, file=file)


def _commons(file: str, author: str, license: str, fallback: str) -> Photo:
    # Special:FilePath is the lasting address; the thumbnails behind it have moved
    # between hosts. 500 is one of the widths that Wikimedia serves, others it refuses.
    # https://www.mediawiki.org/wiki/Common_thumbnail_sizes
    url = f"{_COMMONS}/Special:FilePath/{file}?width=500"
    return Photo(f"{_COMMONS}/File:{file}", author, license, "", url, fallback)


GALLERY = {
    "motorcycle": _bundled(
        "motorcycle_left.png", "Nera Nesic and others, Middlebury College", "CC0"
    ),
    "cat": _bundled("chelsea.png", "Stefan van der Walt", "CC0"),
    "coffee": _bundled("coffee.png", "Rachel Michetti", "CC0"),
    "rocket": _bundled("rocket.jpg", "SpaceX", "public domain"),
    "astronaut": _bundled("astronaut.png", "NASA", "public domain"),
    "photographer": _bundled("camera.png", "Lav Varshney", "CC0"),
    "clock": _bundled("clock_motion.png", "Stefan van der Walt", "public domain"),
    "golden retriever": _commons(
        "Golden_Retriever_Dukedestiny01_drvd.jpg",
        "Janneke Vreugdenhil, derivative work by Anka Friedrich",
        "public domain",
        fallback="cat",
    ),
    "car": _commons(
        "Ferrari_488_Pista_Genf_2018.jpg",
        "Alexander Migl",
        "CC BY-SA 4.0",
        fallback="motorcycle",
    ),
    "bird": _commons(
        "Carduelis_carduelis_close_up.jpg",
        "Francis C. Franklin",
        "CC BY-SA 3.0",
        fallback="clock",
    ),
    "husky": _commons(
        "Siberian_Husky_pho.jpg",
        "Per Harald Olsen",
        "CC BY 2.5",
        fallback="photographer",
    ),
}
