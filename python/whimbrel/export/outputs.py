"""Which output of a network is which."""

from .errors import ExportError

ROLES = ("clip", "frame", "embedding")


def role_of(shape, classes, taken):
    """By its shape alone.

    [batch, classes] is clip-wise, three axes with the classes among them frame-wise, any other [batch, d] an embedding.
    """
    if len(shape) == 2 and shape[1] == classes and "clip" not in taken:
        return "clip"
    if len(shape) == 3 and classes in shape[1:] and "frame" not in taken:
        return "frame"
    return "embedding" if len(shape) == 2 and "embedding" not in taken else None


def name_outputs(shapes, names, table, classes):
    """Names in the network's order, and [output] complete.

    @param shapes  of every output, batch first
    @param names   from the caller, or None: those of `table`, or by role
    @param table   [output] as given
    @throws ExportError invalid_argument: no clip-wise output, or names that do not fit
    """
    found = ", ".join(str(["batch", *shape[1:]]).replace("'", "") for shape in shapes)
    given = {role: table[role] for role in ROLES if role in table}
    if names is None:
        names = list(given.values()) or default_names(shapes, classes, found)
    if len(names) != len(shapes) or len(set(names)) != len(names) or "input" in names:
        raise ExportError(
            "invalid_argument", f"the network has {len(shapes)} output(s) ({found}), named {list(names)}; expected a name each"
        )
    for role, name in given.items():
        if name not in names:
            raise ExportError("invalid_argument", f"[output] {role} = {name!r}, expected one of {list(names)}")
    roles = dict(given)
    for name, shape in zip(names, shapes, strict=True):
        if name not in roles.values() and (role := role_of(shape, classes, roles)):
            roles[role] = name
    by_name = dict(zip(names, shapes, strict=True))
    if "clip" not in roles or list(by_name[roles["clip"]][1:]) != [classes]:
        raise ExportError(
            "invalid_argument", f"the network's outputs are {found}, expected clip-wise [batch, {classes}]: one value a label"
        )
    if "embedding" in roles and len(by_name[roles["embedding"]]) != 2:
        raise ExportError("invalid_argument", f"the embedding is one of {found}, expected [batch, d]")
    complete = {role: roles[role] for role in ROLES if role in roles}
    if "frame" in roles:
        complete["frame_axis"] = frame_axis(by_name[roles["frame"]], classes, table.get("frame_axis"))
    rest = {key: value for key, value in table.items() if key not in complete and key != "frame_axis"}
    return list(names), {**complete, **rest}


def default_names(shapes, classes, found):
    if len(shapes) == 1:
        return ["logits"]
    words = {"clip": "clipwise_logits", "frame": "framewise_logits", "embedding": "embedding"}
    roles = []
    for shape in shapes:
        roles.append(role_of(shape, classes, roles))
    if None in roles:
        raise ExportError(
            "invalid_argument", f"the network's outputs are {found}: which is which does not show; give output_names"
        )
    return [words[role] for role in roles]


def frame_axis(shape, classes, given):
    axes = {"class_first": 1, "class_last": 2}
    fitting = [axis for axis, at in axes.items() if len(shape) == 3 and shape[at] == classes]
    if not fitting or given not in (None, *fitting):
        expected = f"[batch, {classes}, frames] (class_first) or [batch, frames, {classes}] (class_last)"
        raise ExportError("invalid_argument", f"the frame-wise output is {['batch', *shape[1:]]}, expected {expected}")
    return given or fitting[0]
