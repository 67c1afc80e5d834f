"""The named photos of the lessons, with where they come from and who made them."""

from typing import NamedTuple

_COMMONS = "https://upload.wikimedia.org/wikipedia/commons/thumb"
_PAGE = "https://commons.wikimedia.org/wiki/File:"
_SCIKIT_IMAGE = "https://scikit-image.org/docs/stable/api/skimage.data.html"


class Photo(NamedTuple):
    """A photo's source and credit.

    Attributes:
        page: The page that describes it.
        author: Who made it.
        license: Under which terms it may be shown.
        file: Its file in scikit-image's data, for a photo that needs no network.
        url: Its address, for a photo from the web.
        fallback: For a photo from the web, the bundled one that replaces it offline.
    """

    page: str
    author: str
    license: str
    file: str = ""
    url: str = ""
    fallback: str = ""


def _commons(
    directory: str, name: str, author: str, license: str, fallback: str
) -> Photo:
    # Wikimedia serves its standard widths only; 500 is one of them.
    url = f"{_COMMONS}/{directory}/{name}/500px-{name}"
    return Photo(_PAGE + name, author, license, url=url, fallback=fallback)


GALLERY = {
    "cat": Photo(_SCIKIT_IMAGE, "Stefan van der Walt", "CC0", file="chelsea.png"),
    "coffee": Photo(_SCIKIT_IMAGE, "Rachel Michetti", "CC0", file="coffee.png"),
    "rocket": Photo(_SCIKIT_IMAGE, "SpaceX", "public domain", file="rocket.jpg"),
    "astronaut": Photo(_SCIKIT_IMAGE, "NASA", "public domain", file="astronaut.png"),
    "golden retriever": _commons(
        "b/bd",
        "Golden_Retriever_Dukedestiny01_drvd.jpg",
        "Janneke Vreugdenhil, derivative work by Anka Friedrich",
        "public domain",
        fallback="cat",
    ),
    "husky": _commons(
        "9/9c", "Siberian_Husky_pho.jpg", "Per Harald Olsen", "CC BY 2.5", "astronaut"
    ),
    "tabby cat": _commons(
        "4/4d", "Cat_November_2010-1a.jpg", "Alvesgaspar", "CC BY-SA 3.0", "cat"
    ),
    "bird": _commons(
        "7/7c",
        "Carduelis_carduelis_close_up.jpg",
        "Francis C. Franklin",
        "CC BY-SA 3.0",
        fallback="coffee",
    ),
    "car": _commons(
        "8/80",
        "Ferrari_488_Pista_Genf_2018.jpg",
        "Alexander Migl",
        "CC BY-SA 4.0",
        fallback="rocket",
    ),
}
