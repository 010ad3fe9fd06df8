import datetime

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG

OCCASION = "{{ run_id | lower | replace('_', '-') | replace(':', '-') | replace('+', '-') }}"

with DAG("nightly", schedule="0 2 * * *", start_date=datetime.datetime(2026, 1, 1), catchup=False):
    KubernetesPodOperator(
        task_id="orders",
        namespace="data",
        service_account_name="nuvo-step",
        image="registry.example.com/kubectl-nuvo:0.1.0",
        arguments=["run", "orders", "--name", f"orders-{OCCASION}", "--if-exists", "follow", "--wait"],
        retries=3,
    )
