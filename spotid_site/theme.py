"""The looks and the sidebar of the admin (django-unfold). Who may see a page is asked in identification/admin."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _


def _link(title: Any, view: str, icon: str, allowed: str = "", badge: str = "") -> dict[str, Any]:
    link: dict[str, Any] = {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{view}")}
    if allowed:
        link["permission"] = f"identification.admin.dashboard.{allowed}"
    if badge:
        link["badge_from"] = f"identification.admin.dashboard.{badge}"
    return link


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar with its badges. unfold would show a badge that has nothing to say as "None"."""
    return [{**group, "items": [_with_badge(item, request) for item in group["items"]]} for group in NAVIGATION]


def _with_badge(item: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
    said = import_string(item["badge_from"])(request) if "badge_from" in item else None
    return {**item, "badge": said, "badge_variant": "danger"} if said else dict(item)


# In the order of the work: photos come in, boxes are annotated, pairs decided, individuals follow.
NAVIGATION: list[dict[str, Any]] = [
    {
        "title": _("Survey"),
        "items": [
            _link(_("Dashboard"), "index", "dashboard"),
            _link(_("Surveys"), "identification_survey_changelist", "map"),
            _link(_("Stations"), "identification_station_changelist", "location_on"),
            _link(_("Images"), "identification_image_changelist", "photo_library"),
            _link(_("Encounter events"), "identification_encounterevent_changelist", "schedule"),
            _link(_("Clocks"), "identification_cameraclock_changelist", "more_time"),
            _link(_("Populations"), "identification_population_changelist", "forest"),
        ],
    },
    {
        "title": _("Identification"),
        "items": [
            _link(_("Detections"), "identification_detection_changelist", "select_all"),
            _link(_("Candidates"), "identification_candidate_changelist", "compare", "may_decide"),
            _link(_("Groups of one visit"), "identification_linkproposal_changelist", "burst_mode", "may_decide"),
            _link(_("Match edges"), "identification_matchedge_changelist", "join_inner", "may_decide"),
            _link(_("Individuals"), "identification_individual_changelist", "pets"),
            _link(_("Decisions"), "identification_decision_changelist", "rule", "may_decide"),
            _link(_("Review positions"), "identification_reviewposition_changelist", "bookmark", "is_administrator"),
            _link(_("Remarks on photos"), "identification_remark_changelist", "comment", "is_administrator"),
        ],
    },
    {
        "title": _("Processing"),
        "collapsible": True,
        "items": [
            _link(_("Work"), "identification_work_changelist", "engineering", badge="failures_badge"),
            _link(_("Ingest runs"), "identification_ingestreport_changelist", "upload", "may_ingest"),
            _link(_("Ingest from browsers"), "identification_ingestrequest_changelist", "cloud_upload", "may_ingest"),
            _link(_("Species scores"), "identification_triagerun_changelist", "pets", "may_ingest"),
            _link(_("Imports"), "identification_importrun_changelist", "input", "is_administrator"),
            _link(_("Import issues"), "identification_importissue_changelist", "rule", "is_administrator"),
            _link(_("Exports"), "identification_exportrun_changelist", "output", "is_administrator"),
            _link(
                _("Camera operation"), "identification_cameraoperation_changelist", "photo_camera", "is_administrator"
            ),
            _link(_("Skipped files"), "identification_skippedphoto_changelist", "hide_image", "may_ingest"),
            _link(_("Station backgrounds"), "identification_stationbackgroundrecord_changelist", "landscape"),
            _link(_("Embeddings"), "identification_embedding_changelist", "scatter_plot"),
            _link(_("Local features"), "identification_localfeatureset_changelist", "grain"),
            _link(_("Embedding models"), "identification_embeddingmodel_changelist", "neurology", "is_administrator"),
            _link(_("Activations"), "identification_modelactivation_changelist", "swap_horiz", "is_administrator"),
            _link(_("Not encoded"), "identification_encodingfailure_changelist", "report", "is_administrator"),
            _link(_("Trainings"), "identification_trainingrun_changelist", "model_training", "is_administrator"),
            _link(_("Calibrations"), "identification_paircalibration_changelist", "tune", "is_administrator"),
            _link(_("Calibration runs"), "identification_calibrationrun_changelist", "history", "is_administrator"),
            _link(_("Heartbeats"), "identification_heartbeat_changelist", "favorite", "is_administrator"),
            _link(_("Queue"), "django_q_ormq_changelist", "queue", "is_administrator"),
            _link(_("Schedules"), "django_q_schedule_changelist", "update", "is_administrator"),
            _link(_("Failed tasks"), "django_q_failure_changelist", "error", "is_administrator"),
            _link(_("Finished tasks"), "django_q_success_changelist", "task_alt", "is_administrator"),
        ],
    },
    {
        "title": _("Access"),
        "collapsible": True,
        "items": [
            _link(_("Memberships"), "identification_membership_changelist", "group", "may_ingest"),
            _link(_("Accounts"), "identification_user_changelist", "person", "is_administrator"),
            _link(_("Groups"), "auth_group_changelist", "groups", "is_administrator"),
            _link(_("API tokens"), "identification_apitoken_changelist", "key", "is_administrator"),
            _link(_("Requests with a key"), "identification_requestkey_changelist", "repeat", "is_administrator"),
            _link(_("Audit"), "identification_auditentry_changelist", "history", "is_administrator"),
        ],
    },
]

UNFOLD = {
    "SITE_TITLE": "SpotID",
    "SITE_HEADER": "SpotID",
    "SITE_SUBHEADER": _("Individuals from camera-trap photos"),
    "SITE_URL": "/",
    "SITE_SYMBOL": "pets",
    "SHOW_HISTORY": True,
    "SHOW_LANGUAGES": True,
    "DASHBOARD_CALLBACK": "identification.admin.dashboard.dashboard",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("spotid/favicon.svg")},
    ],
    "STYLES": [lambda request: static("spotid_admin/admin.css")],
    "COLORS": {
        "primary": {
            "50": "oklch(97% .02 155)",
            "100": "oklch(94% .04 155)",
            "200": "oklch(88% .07 155)",
            "300": "oklch(79% .1 155)",
            "400": "oklch(68% .12 155)",
            "500": "oklch(56% .12 155)",
            "600": "oklch(47% .1 155)",
            "700": "oklch(40% .09 155)",
            "800": "oklch(34% .07 155)",
            "900": "oklch(28% .05 155)",
            "950": "oklch(20% .04 155)",
        },
    },
    "SIDEBAR": {
        "show_search": True,
        "navigation": "spotid_site.theme.navigation",
    },
}
