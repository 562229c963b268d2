"""Photos go from a real browser into a survey: dropped, chosen as a folder, and on after a connection that broke."""

from __future__ import annotations

import base64
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from identification.models import Image, IngestRequest, Role, Survey, User
from identification.services.receiving_run import ingest_request_run
from tests.browser.conftest import NARROW, WIDE
from tests.identification import factories as make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def place(settings: Any, tmp_path: Path) -> tuple[Survey, User]:
    settings.SPOTID_UPLOAD_DIR = tmp_path / "photos"
    settings.SPOTID_UPLOAD_KEEP_FREE_GB = 0
    settings.SPOTID_UPLOAD_CHUNK_KB = 4
    survey = make.make_survey(name="Valley 2024")
    return survey, make.make_member(survey, Role.CURATOR)


def _photo(number: int) -> bytes:
    return make.jpeg(make.frame_pixels(number))


def _drop(page: Page, files: dict[str, bytes]) -> None:
    """Drop files as a browser does that cannot tell folders, once the page's script listens."""
    expect(page.locator("[data-drop]")).to_be_visible()
    page.wait_for_load_state("load")
    said = [[name, base64.b64encode(data).decode()] for name, data in files.items()]
    page.locator("[data-drop]").evaluate(
        """(place, files) => {
            const dropped = new DataTransfer();
            for (const [name, data] of files) {
                const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
                dropped.items.add(new File([bytes], name, { lastModified: 1700000000000 }));
            }
            place.dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, bubbles: true, cancelable: true }));
        }""",
        said,
    )


def _drop_from_disk(page: Page, *paths: Path) -> None:
    """Drag files and folders of this computer into the page, as a file manager does: the browser makes the entries."""
    place = page.locator("[data-drop]")
    expect(place).to_be_visible()
    page.wait_for_load_state("load")
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box is not None
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "data": data}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver"):
        session.send("Input.dispatchDragEvent", {"type": kind, **at})
    expect(place).to_have_class(re.compile(r"\bover\b"))
    session.send("Input.dispatchDragEvent", {"type": "drop", **at})
    session.detach()


def _work() -> None:
    """What a worker does when it is woken."""
    for request in IngestRequest.objects.filter(state="pending"):
        assert ingest_request_run(request_id=request.pk)


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_dropped_photos_and_a_zip_become_photos_and_what_is_left_out_is_named(new_page, place, viewport) -> None:
    survey, user = place
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("ST09/A/7.jpg", _photo(7))
        archive.writestr("../evil.jpg", _photo(8))
    page = new_page(user, viewport=viewport)
    page.goto(f"/surveys/{survey.pk}/")
    page.get_by_role("link", name="Add photos").first.click()
    _drop(page, {"one.jpg": _photo(1), "card.zip": packed.getvalue(), "film.mp4": b"film"})
    expect(page.locator(".ingested strong")).to_have_text("Waiting")
    _work()
    expect(page.locator(".ingested")).to_contain_text("2 new · 0 known · 2 skipped")
    page.get_by_text("2 files were left out").click()
    expect(page.locator(".ingested table")).to_contain_text("card.zip/../evil.jpg")
    expect(page.locator(".ingested table")).to_contain_text("film.mp4")
    assert set(Image.objects.values_list("relative_path", flat=True)) == {"one.jpg", "card/ST09/A/7.jpg"}
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_dropped_folder_becomes_photos_with_their_paths(new_page, place, tmp_path: Path, viewport) -> None:
    survey, user = place
    season, loose = tmp_path / "Season 2024", tmp_path / "loose.jpg"
    wanted = {"ST01/A/1.jpg", "ST01/B/1.jpg", "ST02/A/DCIM/100 RECNX/IMG_0001.JPG"}
    for number, path in enumerate(sorted(wanted)):
        (season / path).parent.mkdir(parents=True, exist_ok=True)
        (season / path).write_bytes(_photo(number))
    # More than a browser hands out of a folder at once.
    (season / "many").mkdir()
    for number in range(130):
        (season / "many" / f"{number}.txt").write_bytes(b"notes %d" % number)
    loose.write_bytes(_photo(9))
    page = new_page(user, viewport=viewport)
    page.goto(f"/surveys/{survey.pk}/ingest/")
    _drop_from_disk(page, season, loose)
    expect(page.locator(".ingested strong")).to_have_text("Waiting")
    _work()
    expect(page.locator(".ingested")).to_contain_text("4 new · 0 known · 130 skipped")
    paths = {f"Season 2024/{path}" for path in wanted} | {"loose.jpg"}
    assert set(Image.objects.values_list("relative_path", flat=True)) == paths
    found = Image.objects.get(relative_path__startswith="Season 2024/ST01/B")
    assert found.station is not None and (found.station.code, found.camera) == ("ST01", "B")
    assert Path(found.source_path).read_bytes() == (season / "ST01" / "B" / "1.jpg").read_bytes()


def test_a_broken_connection_goes_on_where_it_stopped(new_page, watch, place, tmp_path: Path) -> None:
    survey, user = place
    folder = tmp_path / "season" / "ST03" / "B"
    folder.mkdir(parents=True)
    for number in range(4):
        (folder / f"{number}.jpg").write_bytes(_photo(number))
    size = sum(path.stat().st_size for path in folder.iterdir())
    answered: list[int] = []

    def some_break(route: Route) -> None:
        answered.append(len(route.request.post_data_buffer or b""))
        # Every third piece is lost on the way there.
        if len(answered) % 3 == 0:
            answered.pop()
            answered.append(0)
            route.abort()
        elif len(answered) > 9:
            answered.pop()
            route.abort()
        else:
            route.continue_()

    page = new_page(user)
    page.route("**/ingest/piece/**", some_break)
    page.goto(f"/surveys/{survey.pk}/ingest/")
    page.locator("input[webkitdirectory]").set_input_files(tmp_path / "season")
    expect(page.locator("[data-said=state]")).to_have_text("The connection is broken; it is tried again")
    page.wait_for_timeout(2500)
    page.close(run_before_unload=False)
    first = sum(answered)
    assert 0 < first < size and not Image.objects.exists()
    # Days later, in another window.
    watch.faults.clear()
    sent: list[int] = []
    again = new_page(user)
    again.on(
        "request",
        lambda request: sent.append(len(request.post_data_buffer or b"")) if "/piece/" in request.url else None,
    )
    again.goto(f"/surveys/{survey.pk}/ingest/")
    expect(again.locator("[data-resume]")).to_contain_text("of 4 files arrived")
    again.locator("input[webkitdirectory]").set_input_files(tmp_path / "season")
    expect(again.locator(".ingested strong")).to_have_text("Waiting")
    assert sum(sent) == size - first
    _work()
    expect(again.locator(".ingested")).to_contain_text("4 new · 0 known · 0 skipped")
    image = Image.objects.select_related("station").order_by("relative_path").first()
    assert image is not None and image.station is not None
    assert (image.relative_path, image.station.code, image.camera) == ("season/ST03/B/0.jpg", "ST03", "B")
    assert Path(image.source_path).read_bytes() == (folder / "0.jpg").read_bytes()


def test_a_folder_of_the_server_is_found_and_read(new_page, place, settings, tmp_path: Path) -> None:
    survey, _ = place
    user = make.make_user(superuser=True)
    (tmp_path / "cards" / "ST05" / "A").mkdir(parents=True)
    (tmp_path / "cards" / "ST05" / "A" / "1.jpg").write_bytes(_photo(1))
    settings.SPOTID_INGEST_ROOTS = [str(tmp_path / "cards")]
    page = new_page(user)
    page.goto(f"/surveys/{survey.pk}/ingest/")
    page.get_by_role("link", name=str(tmp_path / "cards")).click()
    expect(page.get_by_role("link", name="ST05")).to_be_visible()
    page.get_by_role("button", name="Read this folder").click()
    expect(page.locator(".ingested strong")).to_have_text("Waiting")
    _work()
    expect(page.locator(".ingested")).to_contain_text("1 new · 0 known · 0 skipped")
    assert Image.objects.get().relative_path == "ST05/A/1.jpg"
