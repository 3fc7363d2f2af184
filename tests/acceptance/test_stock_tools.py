"""Stock RQ tools, given only the environment and no flags, show mediaq's queues."""

import asyncio

import httpx
from house import Api
from programs import BIN, IMAGE, KEY, running, until_answering

from mediaq.embedded import ports, samples
from mediaq.resources import Resources

pytest_plugins = ["program_fixtures"]


async def test_rq_info_shows_the_queues(api: Api, environment: dict[str, str]) -> None:
    await api.accept("image-processing", IMAGE)
    process = await asyncio.create_subprocess_exec(
        BIN / "rq", "info", "--raw", env=environment, stdout=asyncio.subprocess.PIPE
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0
    assert "queue image-processing 1" in output


async def test_rq_dashboard_shows_result_and_progress_of_a_finished_job(
    api: Api, resources: Resources, environment: dict[str, str]
) -> None:
    await api.upload(KEY, samples.draw_picture())
    job = await api.run("image-processing", IMAGE)
    port = ports.free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port)]
    async with running(environment, "rq-dashboard", *options), httpx.AsyncClient() as http:
        base = f"http://127.0.0.1:{port}/0"
        await until_answering(f"{base}/data/queues.json")
        shown = (await http.get(f"{base}/data/job/{job['id']}.json")).json()
        page = await http.get(f"{base}/view/job/{job['id']}")
    assert page.status_code == 200
    assert shown["status"] == "finished"
    assert shown["description"] == "process-image"
    assert "MEDIAQ" in str(shown["result"])
    assert "'current': 2" in str(shown["metadata"]) or '"current": 2' in str(shown["metadata"])
