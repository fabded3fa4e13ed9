"""Charts of particles for notebooks: for Particlize's renderer, and as Vega-Lite where it is not installed.

In a notebook of a sample folder:

    import sys
    sys.path.append("../common")
    from particleCharts import heatmap
"""

VEGA_LITE = "https://vega.github.io/schema/vega-lite/v5.json"


def heatmap(title, layers, column, values):
    """One cell a particle, a row of cells a layer.

    layers: (name, kind) pairs, kind one of kernel, neuron, unit, head, factor; values: an array of numbers for each;
    column: {"name", "title", "unit"}, and "scale": "diverging" for numbers of both signs.
    """
    described, numbers = particles(layers, values)
    places = [(layer["name"], index) for layer in described for index in range(layer["count"])]
    cells = [
        {"layer": layer, "particle": index, "value": value} for (layer, index), value in zip(places, numbers)
    ]
    colour = {"field": "value", "type": "quantitative", "title": column["title"]}
    if column.get("scale") == "diverging":
        colour["scale"] = {"scheme": "redblue", "domainMid": 0}
    show(
        {"kind": "heatmap", "title": title, "layers": described, "column": column, "values": numbers},
        {
            "data": {"values": cells},
            "width": 640,
            "mark": {"type": "rect", "tooltip": True},
            "encoding": {
                "x": {"field": "particle", "type": "ordinal", "axis": {"labelOverlap": True, "labelAngle": 0}},
                "y": {"field": "layer", "type": "nominal", "sort": None, "title": None},
                "color": colour,
            },
        },
    )


def scatter(title, layers, x, y):
    """One point a particle. x and y: {"column": as in `heatmap`, "values": an array of numbers for each layer}."""
    described, across = particles(layers, x["values"])
    _, up = particles(layers, y["values"])
    places = [(layer["name"], index) for layer in described for index in range(layer["count"])]
    points = [
        {"particle": f"{layer}:{index}", "layer": layer, "x": a, "y": b}
        for (layer, index), a, b in zip(places, across, up)
    ]
    axes = {
        "x": {"column": x["column"], "values": across},
        "y": {"column": y["column"], "values": up},
    }
    show(
        {"kind": "scatter", "title": title, "layers": described, **axes},
        {
            "data": {"values": points},
            "width": 400,
            "mark": {"type": "point", "tooltip": {"content": "data"}},
            "encoding": {
                "x": {"field": "x", "type": "quantitative", "title": x["column"]["title"]},
                "y": {"field": "y", "type": "quantitative", "title": y["column"]["title"]},
                "color": {"field": "layer", "type": "nominal", "title": None},
            },
        },
    )


def kernels(title, layer, weights):
    """A picture for each kernel of a layer. weights: [out, in, height, width]; the fallback shows input channel 0."""
    pixels = [
        {"kernel": out, "row": row, "column": column, "weight": rounded(weights[out, 0, row, column])}
        for out in range(weights.shape[0]) for row in range(weights.shape[2]) for column in range(weights.shape[3])
    ]
    show(
        {
            "kind": "kernels",
            "title": title,
            "layer": layer,
            "shape": list(weights.shape),
            "values": [rounded(value) for value in weights.ravel()],
        },
        {
            "data": {"values": pixels},
            "facet": {"field": "kernel", "type": "ordinal"},
            "columns": 8,
            "spec": {
                "width": 60,
                "height": 60,
                "mark": {"type": "rect", "tooltip": True},
                "encoding": {
                    "x": {"field": "column", "type": "ordinal", "axis": None},
                    "y": {"field": "row", "type": "ordinal", "axis": None},
                    "color": {
                        "field": "weight", "type": "quantitative", "scale": {"scheme": "redblue", "domainMid": 0}
                    },
                },
            },
        },
    )


def chart(title, marks):
    """A plain Vega-Lite chart of anything else; marks: its data, mark and encoding."""
    from IPython.display import display

    spec = {"$schema": VEGA_LITE, "title": title, **marks}
    display({"application/vnd.vegalite.v5+json": spec, "text/plain": title}, raw=True)


def show(particlize, marks):
    from IPython.display import display

    chart_spec = {"$schema": VEGA_LITE, "title": particlize["title"], **marks}
    count = sum(layer["count"] for layer in particlize["layers"]) if "layers" in particlize else particlize["shape"][0]
    display(
        {
            "application/vnd.particlize.v1+json": {"version": 1, **particlize},
            "application/vnd.vegalite.v5+json": chart_spec,
            "text/plain": f"{particlize['title']}: {count} particles",
        },
        raw=True,
    )


def particles(layers, values):
    described = [{"name": name, "kind": kind, "count": len(row)} for (name, kind), row in zip(layers, values)]
    return described, [rounded(value) for row in values for value in row]


def rounded(value):
    """Five digits: enough to look at, and a third of the file."""
    number = float(f"{float(value):.5g}")
    return number if number == number else None
