#!/usr/bin/env python3
"""Writes the bundle that `superset import-dashboards` reads: bundle.py URI FILE.zip [FLAG]

FLAG is what dashboard "Rollout" shows until somebody chooses; without it, the first.
`bundle.py --queries` prints what its charts ask the database for instead, one SELECT a line, for tests/superset.
JSON is YAML, so nothing but Python is needed. The charts are described in charts.py.
"""

import json
import re
import sys
import uuid
import zipfile

from charts import COLOURS, DASHBOARDS, DATASETS

SHORT = ("estimate", "lower", "upper", "tolerated", "share or mean", "p95")
"""Columns of numbers that are told to three digits."""
DAY = "DATEADD(DATETIME('now'), -1, day) : DATEADD(DATETIME('now'), 1, hour)"


def uid(*name):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "flagscope/superset/" + "/".join(name)))


def metric(label, sql):
    return {"expressionType": "SQL", "sqlExpression": sql, "label": label, "hasCustomLabel": True}


def where(sql):
    return {"clause": "WHERE", "expressionType": "SQL", "sqlExpression": sql}


def in_time(column):
    return {"clause": "WHERE", "expressionType": "SIMPLE", "operator": "TEMPORAL_RANGE", "subject": column,
            "comparator": "No filter"}


def params(chart):
    filters = [in_time("ts")] if chart.get("in_time") else []
    filters += [where(chart["where"])] if "where" in chart else []
    base = {"adhoc_filters": filters, "row_limit": chart.get("limit", 10000), "color_scheme": "supersetColors",
            "annotation_layers": []}
    if chart["kind"] == "number":
        return "big_number_total", base | {"metric": metric(*chart["metric"]), "subheader": chart["below"],
                                           "header_font_size": 0.4, "subheader_font_size": 0.15, "y_axis_format": ",d"}
    if chart["kind"] == "table":
        raw = {"query_mode": "raw", "all_columns": chart["columns"],
               "order_by_cols": [json.dumps([column, up]) for column, up in chart.get("order", [])]}
        grouped = {"query_mode": "aggregate", "groupby": chart["columns"], "order_desc": "by" not in chart,
                   "metrics": [metric(*m) for m in chart.get("metrics", [])]}
        if "by" in chart:
            grouped["timeseries_limit_metric"] = metric("order", chart["by"])
        shown = {"table_timestamp_format": "%m-%d %H:%M:%S", "show_cell_bars": False, "include_search": False,
                 "conditional_formatting": [
                     {"column": column, "operator": "=", "targetValue": value, "colorScheme": colour}
                     for column in chart["columns"] if column in ("state", "status", "severity")
                     for value, colour in COLOURS.items()],
                 "column_config": {column: {"d3NumberFormat": ".3~r"} for column in SHORT}
                                   | {column: {"d3NumberFormat": ",d"} for column in ("data points", "events")}}
        return "table", base | shown | (grouped if "metrics" in chart else raw)
    lines = {"x_axis": chart.get("axis", "ts"), "time_grain_sqla": chart.get("grain"), "x_axis_time_format": "%H:%M",
             "xAxisForceCategorical": "axis" in chart, "rich_tooltip": True,
             "show_legend": True, "legendType": "scroll", "legendOrientation": "top", "truncateYAxis": False,
             "y_axis_format": chart.get("format", "SMART_NUMBER"), "tooltipTimeFormat": "%m-%d %H:%M:%S",
             "y_axis_bounds": [0, None]}
    if chart["kind"] == "ramp":
        steps = {"metrics": [metric(*chart["metric"])], "groupby": [], "seriesType": "end", "area": True, "opacity": 0.2,
                 "row_limit": 10000}
        points = {"metrics_b": [metric(*chart["points"])], "groupby_b": ["what"], "seriesTypeB": "scatter",
                  "markerEnabledB": True, "markerSizeB": 12, "row_limit_b": 1000, "adhoc_filters_b": filters,
                  "truncate_metric_b": True}
        return "mixed_timeseries", base | lines | steps | points | {"truncate_metric": True}
    kind = {"line": "echarts_timeseries_line", "bars": "echarts_timeseries_bar"}[chart["kind"]]
    return kind, base | lines | {"metrics": [metric(*chart["metric"])], "groupby": chart["by"], "truncate_metric": True,
                                 "stack": "Stack" if chart["kind"] == "bars" else None, "markerEnabled": False}


def chart_file(board, chart):
    kind, what = params(chart)
    return {"slice_name": chart["title"], "description": chart.get("says"), "viz_type": kind, "params": what,
            "dataset_uuid": uid("dataset", chart["of"]), "uuid": uid("chart", board, chart["title"]), "version": "1.0.0",
            "cache_timeout": 0}


def dataset_file(name, dataset):
    columns = [column.partition(":")[::2] for column in dataset["columns"].split()]
    types = {"": "TEXT", "time": "TIMESTAMP WITH TIME ZONE", "number": "DOUBLE PRECISION", "bool": "BOOLEAN"}
    return {"table_name": name, "main_dttm_col": "ts", "schema": "flagscope", "sql": dataset.get("sql"),
            "description": dataset["says"], "uuid": uid("dataset", name), "metrics": [], "version": "1.0.0",
            "database_uuid": uid("database"), "cache_timeout": 0,
            "columns": [{"column_name": column, "verbose_name": column.replace("_", " "), "type": types[kind], "is_dttm": kind == "time", "groupby": True,
                         "filterable": True} for column, kind in columns]}


def position(board):
    """Rows of charts, 12 columns wide."""
    nodes = {"DASHBOARD_VERSION_KEY": "v2", "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
             "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": [], "parents": ["ROOT_ID"]},
             "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": board["title"]}}}
    number = 0
    for at, row in enumerate(board["rows"]):
        row_id = f"ROW-{at}"
        nodes["GRID_ID"]["children"].append(row_id)
        nodes[row_id] = {"type": "ROW", "id": row_id, "children": [], "parents": ["ROOT_ID", "GRID_ID"],
                         "meta": {"background": "BACKGROUND_TRANSPARENT"}}
        for chart in row:
            number += 1
            node = f"CHART-{number}"
            nodes[row_id]["children"].append(node)
            nodes[node] = {"type": "CHART", "id": node, "children": [], "parents": ["ROOT_ID", "GRID_ID", row_id],
                           "meta": {"chartId": number, "uuid": uid("chart", board["slug"], chart["title"]),
                                    "width": chart["width"], "height": chart["height"], "sliceName": chart["title"]}}
    return nodes


def filters(board, flag):
    """What the reader chooses: the time, and by column."""
    common = {"type": "NATIVE_FILTER", "scope": {"rootPath": ["ROOT_ID"], "excluded": []}, "cascadeParentIds": []}
    time = {"id": "NATIVE_FILTER-time", "name": "Time", "filterType": "filter_time", "targets": [{}], "controlValues": {},
            "defaultDataMask": {"extraFormData": {"time_range": DAY}, "filterState": {"value": DAY}}}
    found = [common | time]
    for name, of, column, value in board["filters"]:
        value = flag if column == "flag" else value
        mask = {"filterState": {"value": [value]}, "extraFormData": {"filters": [
            {"col": column, "op": "IN", "val": [value]}]}} if value else {"filterState": {}, "extraFormData": {}}
        found.append(common | {
            "id": f"NATIVE_FILTER-{column}", "name": name, "filterType": "filter_select", "defaultDataMask": mask,
            "targets": [{"datasetUuid": uid("dataset", of), "column": {"name": column}}],
            # Else the first one would wait for a click on "Apply filters".
            "requiredFirst": value is None,
            "controlValues": {"multiSelect": False, "enableEmptyFilter": False, "defaultToFirstItem": value is None,
                              "searchAllOptions": False, "inverseSelection": False}})
    return found + [choice(board, common, *each) for each in board.get("choices", [])]


def choice(board, common, name, column, title):
    """What one chart shows one of: a filter that is always set, and that the other charts do not have."""
    charts = [chart for row in board["rows"] for chart in row]
    others = [number for number, chart in enumerate(charts, 1) if chart["title"] != title]
    chart = next(chart for chart in charts if chart["title"] == title)
    return common | {
        "id": f"NATIVE_FILTER-{name}", "name": name, "filterType": "filter_select",
        "scope": {"rootPath": ["ROOT_ID"], "excluded": others}, "adhoc_filters": [where(chart["where"])],
        "cascadeParentIds": ["NATIVE_FILTER-flag"], "defaultDataMask": {"filterState": {}, "extraFormData": {}},
        "targets": [{"datasetUuid": uid("dataset", chart["of"]), "column": {"name": column}}], "requiredFirst": True,
        "controlValues": {"multiSelect": False, "enableEmptyFilter": True, "defaultToFirstItem": True,
                          "searchAllOptions": False, "inverseSelection": False}}


def dashboard_file(board, flag):
    return {"dashboard_title": board["title"], "description": board["says"], "slug": board["slug"], "published": True,
            "css": "", "position": position(board), "uuid": uid("dashboard", board["slug"]), "version": "1.0.0",
            "metadata": {"native_filter_configuration": filters(board, flag), "label_colors": board.get("colours", {}),
                         "color_scheme": "supersetColors", "refresh_frequency": 60, "cross_filters_enabled": False}}


def files(uri, flag):
    yield "metadata", {"version": "1.0.0", "type": "Dashboard", "timestamp": "2026-11-30T00:00:00+00:00"}
    yield "databases/flagscope", {"database_name": "flagscope", "sqlalchemy_uri": uri, "uuid": uid("database"),
                                  "version": "1.0.0", "extra": {"allows_virtual_table_explore": True},
                                  "expose_in_sqllab": True, "allow_dml": False, "cache_timeout": 0}
    for name, dataset in DATASETS.items():
        yield f"datasets/flagscope/{name}", dataset_file(name, dataset)
    for board in DASHBOARDS:
        for chart in (c for row in board["rows"] for c in row):
            name = re.sub(r"\W+", "_", f"{board['slug']}_{chart['title']}")
            yield f"charts/{name}", chart_file(board["slug"], chart)
        yield f"dashboards/{board['slug']}", dashboard_file(board, flag)


def query(board, chart):
    """What Superset asks for a chart, but for its limits and names."""
    dataset = DATASETS[chart["of"]]
    table = f"({dataset['sql']}) t" if "sql" in dataset else f"flagscope.{chart['of']} t"
    quoted = lambda names: [f'"{name}"' for name in names]
    metrics = [chart[m] for m in ("metric", "points") if m in chart] + chart.get("metrics", [])
    groups = quoted(chart.get("columns", []) or (["what"] if chart["kind"] == "ramp" else chart.get("by", [])))
    if chart["kind"] in ("line", "bars", "ramp"):
        groups.append(chart.get("axis", "date_trunc('minute', ts)"))
    conditions = [f"\"{column}\" = '{value or 'new-checkout'}'" for _, _, column, value in board["filters"]
                  if column in dataset["columns"].split()]
    conditions += ["ts > now() - interval '1 day'"] if chart.get("in_time") else []
    conditions += [f"({chart['where']})"] if "where" in chart else []
    sql = "SELECT " + ", ".join(groups + [f'{expression} AS "{label}"' for label, expression in metrics]) + f" FROM {table}"
    sql += " WHERE " + " AND ".join(conditions) if conditions else ""
    if metrics and groups:
        sql += " GROUP BY " + ", ".join(str(n + 1) for n in range(len(groups)))
    order = [f"\"{column}\"{'' if up else ' DESC'}" for column, up in chart.get("order", [])]
    sql += " ORDER BY " + ", ".join(order) if order else ""
    return " ".join(sql.split())


def main():
    if sys.argv[1:] == ["--queries"]:
        for board in DASHBOARDS:
            for chart in (c for row in board["rows"] for c in row):
                print(f"{board['slug']}: {chart['title']}", query(board, chart), sep="\t")
        return
    if len(sys.argv) not in (3, 4):
        sys.exit("bundle.py URI FILE.zip [FLAG], for example bundle.py postgresql+psycopg2://superset@db/shop flagscope.zip")
    with zipfile.ZipFile(sys.argv[2], "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files(sys.argv[1], (sys.argv[3:] or [None])[0]):
            bundle.writestr(f"flagscope/{name}.yaml", json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
