"""stub"""


def split_panels(rgb):
    return []


def split_caption(caption):
    return {}
