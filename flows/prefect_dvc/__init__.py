"""Any dvc.yaml under Prefect: its graph, one task per stage with states, log, cancel and retry. It knows no videos.

from flows.prefect_dvc import execution, graph

@flow(task_runner=execution.THREADS)
def reproduce():
    execution.run(graph.plan())
"""
