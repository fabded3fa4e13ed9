"""Makes the weights of model definitions with their own frameworks, and loads changed weights into changed definitions.

Reads a JSON list of {"name", "code", "build", "input", "weights", "data"} from standard input. `make`: runs `code`, evaluates `build`,
saves its weights to `weights` and a sample of inputs to `data` (.npy). `check`: loads `weights` strictly into what the code
builds and prints its output for `data`. Prints a JSON list of {"output": [...]} or {"error": "..."}.

Needs torch for the definitions that import it and keras for the others: one process for each.
"""

import json
import sys

import numpy


def settle(model, torch):
    """Statistics of normalisations that are not those of a fresh layer."""
    generator = torch.Generator().manual_seed(1)
    for name, value in model.state_dict().items():
        if name.endswith("running_mean"):
            value.copy_(0.2 * torch.randn(value.shape, generator=generator))
        elif name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))


def run(action, case):
    names = {"__name__": "definition", "__file__": case["name"]}
    try:
        numpy.random.seed(0)
        is_torch = "torch" in case["code"]
        if is_torch:
            import torch

            torch.manual_seed(0)
            torch.set_num_threads(1)
        else:
            import keras

            keras.utils.set_random_seed(0)
            keras.backend.clear_session()
        exec(compile(case["code"], case["name"], "exec", dont_inherit=True), names)
        if not is_torch:
            keras.backend.clear_session()
        model = eval(case["build"], names)
        if action == "make":
            x = numpy.random.default_rng(0).standard_normal((3, *case["input"])).astype("float32")
            numpy.save(case["data"], x)
        x = numpy.load(case["data"])
        if is_torch:
            if action == "make":
                settle(model, torch)
                torch.save(model.state_dict(), case["weights"])
            else:
                model.load_state_dict(torch.load(case["weights"], weights_only=True), strict=True)
            with torch.no_grad():
                output = model.eval()(torch.from_numpy(x)).numpy()
        else:
            model(x)
            if action == "make":
                model.save(case["weights"])
            else:
                model.load_weights(case["weights"])
            output = numpy.asarray(model(x))
        return {"output": output.ravel().tolist()}
    except Exception as error:  # the bench says which style failed
        return {"error": f"{type(error).__name__}: {error}"}


answer, sys.stdout = sys.stdout, sys.stderr
json.dump([run(sys.argv[1], case) for case in json.load(sys.stdin)], answer)
answer.write("\n")
