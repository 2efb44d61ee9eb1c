"""Loads TRex profiles with the stand-in beside this file, as TRex loads them, and prints their packets.

Input: a line of JSON for each profile: {"file", "direction", "count", "tunables": [...], "kwargs": {...}}.
Output: a line of JSON for each: [{"name", "pps", "isg", "core", "packets": [hex, …]}, …], or {"error": text}.
"""

import importlib.util
import json
import sys
import traceback


def load(path, direction, tunables, kwargs):
    sys.dont_write_bytecode = True
    spec = importlib.util.spec_from_file_location("profile", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    get = module.register().get_streams
    # TRex shows a profile's tunables, and wants a default for each.
    arguments = get.__code__.co_argcount - 1
    if len(get.__defaults__ or ()) != arguments:
        raise ValueError("get_streams: not every argument has a default")
    if tunables is not None:
        kwargs = dict(kwargs, tunables=tunables)
    from trex.stl.api import STLProfile
    return STLProfile(get(direction=direction, port_id=direction, **kwargs)).get_streams()


for line in sys.stdin:
    job = json.loads(line)
    try:
        streams = load(job["file"], job["direction"], job.get("tunables"), job.get("kwargs") or {})
        answer = [{"name": str(s.name), "pps": s.mode.pps or 0, "isg": s.isg, "core": s.core_id,
                   "packets": [p.hex() for p in s.packets(job["count"])]} for s in streams]
    except (Exception, SystemExit):
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
