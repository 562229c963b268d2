"""Names that real surveys use."""

from datetime import datetime
from pathlib import Path

import pytest

from preprocessing.naming import Placement, captured_at_from_name, compile_station_pattern, placement_from_path


def test_an_empty_name_says_nothing() -> None:
    assert captured_at_from_name("") is None
    assert placement_from_path("") == Placement("", "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BG-102B-2019-03-01_19-49-36.jpg", datetime(2019, 3, 1, 19, 49, 36)),
        ("0_0_BG-102B-2019-03-01_19-49-36.jpg", datetime(2019, 3, 1, 19, 49, 36)),
        ("118A-2013-12-05_17-12-07.jpg", datetime(2013, 12, 5, 17, 12, 7)),
        ("StationA__2009-04-28__17-48-00(3).JPG", datetime(2009, 4, 28, 17, 48)),
        ("01__Station05__Camera1__2012-6-14__5-38-10(4).JPG", datetime(2012, 6, 14, 5, 38, 10)),
        ("20190301_194936.jpg", datetime(2019, 3, 1, 19, 49, 36)),
        ("IMG_20190301_194936.jpg", datetime(2019, 3, 1, 19, 49, 36)),
        ("20190301194936.jpg", datetime(2019, 3, 1, 19, 49, 36)),
        ("PXL_20190301_194936123.jpg", None),
        ("2019-03-01T19:49:36.jpg", datetime(2019, 3, 1, 19, 49, 36)),
        ("2019-03-01T19-49-36Z.jpg", datetime(2019, 3, 1, 19, 49, 36)),
        ("cam 2019-03-01 19.49.36.jpg", datetime(2019, 3, 1, 19, 49, 36)),
        ("2019.03.01-19-49.jpg", datetime(2019, 3, 1, 19, 49)),
        ("palau_cam10a_20181108_174532_rcnx1035.jpg", datetime(2018, 11, 8, 17, 45, 32)),
    ],
)
def test_times_in_names(name: str, expected: datetime | None) -> None:
    assert captured_at_from_name(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "IMG_0001.JPG",
        "IMG-20190301-WA0001.jpg",
        "2019-03-01.jpg",
        "BG-102B-2019-13-01_19-49-36.jpg",
        "BG-102B-2019-02-30_19-49-36.jpg",
        "x-2019-03-01_25-49-36.jpg",
        "99990101_000000.jpg",
        "wellington_121016192402044a1132.JPG",
        "120190301_194936.jpg",
    ],
)
def test_names_without_a_valid_time(name: str) -> None:
    assert captured_at_from_name(name) is None


@pytest.mark.parametrize(
    ("path", "station", "camera"),
    [
        ("ST01/A/IMG_0001.JPG", "ST01", "A"),
        ("survey/ST01/cam1/IMG_0001.JPG", "ST01", "cam1"),
        ("ST01/camera_A/IMG_0001.JPG", "ST01", "camera_A"),
        ("ST01/CamB/IMG_0001.JPG", "ST01", "CamB"),
        ("ST01/Camera 2/x.jpg", "ST01", "Camera 2"),
        ("ST01/A/DCIM/100RECNX/IMG_0001.JPG", "ST01", "A"),
        ("ST01/DCIM/100MEDIA/IMG_0001.JPG", "ST01", ""),
        ("ST01/B/101_BTCF/IMG_0001.JPG", "ST01", "B"),
        ("ST01/A/2019-03-01/100EK113/IMG_0001.JPG", "ST01", "A"),
        ("ST01/A/visit 2/IMG_0001.JPG", "ST01", "A"),
        ("North/ST01/IMG_0001.JPG", "ST01", ""),
        ("A/IMG_0001.JPG", "A", ""),
        ("100RECNX/IMG_0001.JPG", "", ""),
        ("IMG_0001.JPG", "", ""),
        ("IMG_20190301_194936.jpg", "", ""),
        ("StationB/StationB__2009-04-28__17-48-00(3).JPG", "StationB", ""),
        ("LeopardCat/StationA__2009-04-21__00-40-00(1).JPG", "StationA", ""),
        ("StationA__2009-04-28__17-48-00(3).JPG", "StationA", ""),
        ("StationA__CameraA__2009-04-28__17-48-00(3).JPG", "StationA", "CameraA"),
        ("left_diff_cats/02__Station19__Camera2__2012-6-21__1-34-46(7).JPG", "Station19", "Camera2"),
        ("BG-102B-2019-03-01_19-49-36.jpg", "BG-102", "B"),
        ("0_0_BG-102B-2019-03-01_19-49-36.jpg", "BG-102", "B"),
        ("118A-2013-12-05_17-12-07.jpg", "118", "A"),
        ("0_0_9B-2013-12-06_18-11-25.jpg", "9", "B"),
        ("BG-102-2019-03-01_19-49-36.jpg", "BG-102", ""),
        ("102B/BG-102B-2019-03-01_19-49-36.jpg", "BG-102", "B"),
        ("BG-102/BG-102B-2019-03-01_19-49-36.jpg", "BG-102", "B"),
        ("ST07/BG-102B-2019-03-01_19-49-36.jpg", "ST07", ""),
        ("ST 07 – Fluß/A/IMG_0001.JPG", "ST 07 – Fluß", "A"),
    ],
)
def test_station_and_camera_by_the_default_rules(path: str, station: str, camera: str) -> None:
    assert placement_from_path(path) == Placement(station, camera)


def test_a_pattern_decides_alone() -> None:
    pattern = compile_station_pattern(r"(?P<station>S\d+)[/_](?P<camera>[LR])[/_]")
    assert placement_from_path("2019/S12/L/IMG_1.JPG", pattern) == Placement("S12", "L")
    assert placement_from_path("2019/S12_R_IMG_1.JPG", pattern) == Placement("S12", "R")
    assert placement_from_path("ST01/A/IMG_1.JPG", pattern) == Placement("", "")


def test_a_pattern_may_leave_the_camera_out() -> None:
    assert placement_from_path("x/S12/1.jpg", r"/(?P<station>S\d+)/") == Placement("S12", "")
    assert placement_from_path("S12/1.jpg", r"(?P<station>S\d+)/(?P<camera>[AB])?") == Placement("S12", "")


@pytest.mark.parametrize("text", ["(?P<station>", "*", "[", "(?P<camera>x)", "ST01"])
def test_a_pattern_that_cannot_work_is_explained(text: str) -> None:
    with pytest.raises(ValueError, match="station pattern"):
        compile_station_pattern(text)
    with pytest.raises(ValueError, match="station pattern"):
        placement_from_path("a/b.jpg", text)


@pytest.mark.shared_data
def test_every_snow_leopard_name_holds_station_camera_and_time(shared_data: Path) -> None:
    paths = sorted((shared_data / "snow_leopard").rglob("*.JPG"))
    assert len(paths) == 22
    for path in paths:
        _, station, camera, *_ = path.name.split("__")
        assert placement_from_path(path.relative_to(shared_data).as_posix()) == Placement(station, camera)
        assert captured_at_from_name(path.name) is not None


@pytest.mark.shared_data
def test_every_crop_of_the_original_holds_station_camera_and_time(shared_data: Path) -> None:
    paths = sorted((shared_data / "spotid" / "crops").rglob("*.jpg"))
    assert len(paths) == 36
    for path in paths:
        placement = placement_from_path(path.name)
        assert placement.camera in ("A", "B") and placement.station[-1].isdigit()
        assert f"{placement.station}{placement.camera}-" in path.name
        assert captured_at_from_name(path.name) is not None


@pytest.mark.shared_data
def test_camtrapr_names_agree_with_their_folders(shared_data: Path) -> None:
    folder = shared_data / "formats" / "camtrapR" / "pictures" / "sample_images_species_tag"
    paths = [path for path in folder.rglob("*.JPG") if "__" in path.name]
    assert paths
    for path in paths:
        assert placement_from_path(path.relative_to(folder).as_posix()).station == path.name.split("__")[0]
