"""From pages to the API: which operations do what a page shows or does, and what belongs to browsers alone, and why.

Keys: method and name of a page's address; rows, addresses and bulk actions of the admin. Operations: method and name,
without `api-`. Read by test_api_covers_pages.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Browser:
    """Why a program has no use for it."""

    why: str


Entry = Browser | tuple[str, ...]

_SIGN_IN = Browser("Signing in: a program sends its token with each request, and signs in and out of nothing.")
_SECRETS = Browser("Passwords and second factors are given by people, in a browser; a token must not change them.")
_LANGUAGE = Browser("Kept in a cookie; a program says Accept-Language with each request.")
_SCRIPT = Browser("Words for scripts of the pages.")
_HELPER = Browser("A part that the admin's own forms load.")

PAGES: dict[str, Entry] = {
    "get health": ("get health",),
    **dict.fromkeys(("get login", "get account_login", "post logout", "get account_inactive"), _SIGN_IN),
    **dict.fromkeys(("get mfa_authenticate", "get socialaccount_login_cancelled"), _SIGN_IN),
    **dict.fromkeys(("get openid_connect_login", "get openid_connect_callback"), _SIGN_IN),
    **dict.fromkeys(("get account_reauthenticate", "get mfa_reauthenticate"), _SIGN_IN),
    **dict.fromkeys(("get mfa_activate_totp", "get mfa_deactivate_totp"), _SECRETS),
    **dict.fromkeys(("get mfa_view_recovery_codes", "get mfa_generate_recovery_codes"), _SECRETS),
    **dict.fromkeys(("get password_change", "get password_change_done"), _SECRETS),
    **dict.fromkeys(("get account", "get mfa_index"), ("get account", "get tokens")),
    "post token-make": ("post tokens",),
    "post token-revoke": ("delete token",),
    "get audit": ("get audit",),
    "post audit-table": ("get audit",),
    "post set_language": _LANGUAGE,
    "get text-catalogue": _SCRIPT,
    "get survey-members": ("get survey-members",),
    "post survey-members": ("post survey-members", "post population-members"),
    "post member-change": ("patch member", "delete member"),
    "get survey-list": ("get surveys",),
    "get survey-detail": ("get survey", "get survey-settings", "get links", "get figures"),
    "get survey-progress": ("get progress",),
    "get survey-figures": ("get figures",),
    "get survey-ingest": ("get ingest", "get folders"),
    "post ingest-announce": ("post announce",),
    "post ingest-piece": ("put piece",),
    "post ingest-finish": ("post finish",),
    "post ingest-discard": ("post discard",),
    "post ingest-folder": ("post folder",),
    "post ingest-retry": ("post ingest-retry",),
    "get ingest-state": ("get ingest",),
    "post survey-station-table": ("put places",),
    "get survey-skipped": ("get skipped",),
    "get survey-stations": ("get stations", "get operations", "get clocks", "get places-shown"),
    "post survey-stations": ("post places",),
    "post survey-places": ("patch places-shown",),
    "get survey-imports": ("get imports", "get import-kinds"),
    "get imports-state": ("get import",),
    "post imports-request": ("post imports",),
    "post imports-confirm": ("post import-confirm",),
    "post imports-discard": ("delete import",),
    "get imports-report": ("get import-issues",),
    "post survey-retry": ("post retries",),
    "post survey-match": ("post matching",),
    "post survey-export": ("post survey-exports", "post export-file"),
    "get survey-exports": ("get survey-exports",),
    "post survey-exports-ask": ("post survey-exports",),
    "get population-exports": ("get population-exports",),
    "post population-exports-ask": ("post population-exports",),
    "post export-download": ("post export-file",),
    "get export-state": ("get export",),
    "get survey-links": ("get links", "get links-answered"),
    "post survey-links-confirm": ("post links-confirm",),
    "post survey-links-dismiss": ("post links-dismiss",),
    "post survey-links-undo": ("post links-undo",),
    "post survey-clocks": ("post clocks",),
    "get photo-list": ("get photos",),
    "get survey-species": ("get species", "get species-counts"),
    "post survey-species-mark": ("post species-marks",),
    "get survey-species-below": ("get species-below",),
    "post survey-species-below": ("post species-below",),
    "post survey-species-undo": ("post species-undo",),
    "post survey-species-score": ("post species-scores",),
    "get review": ("post questions", "post by-photo", "get put-off", "get alone", "get decisions"),
    "get review-ahead": ("post questions", "post by-photo"),
    "get review-decisions": ("get decisions",),
    "post review-decide": ("post decisions",),
    "get review-spots": ("get spots",),
    "post review-undo": ("post decisions-undo",),
    "post review-pass": ("post pass",),
    "post review-return": ("post return",),
    "get review-again": ("get again",),
    "post review-again-answer": ("post decisions",),
    "get review-certain": ("post certain",),
    "post review-confirm": ("post certain-confirm",),
    "post review-later": ("post later",),
    "post review-empty": ("patch box",),
    "post review-hold": ("post holds",),
    "post review-mode": ("put mode",),
    "get review-modes": ("get mode", "get put-off"),
    "get review-beside": ("get beside",),
    "get review-alone": ("get alone",),
    "post review-none": ("post decisions-together",),
    "get agreement": ("get agreement", "get survey-settings"),
    "post agreement-shares": ("patch survey",),
    "get adjudication": ("get adjudications",),
    "post adjudicate": ("post adjudications",),
    "post survey-goal": ("patch survey",),
    "get photo-detail": ("get photo", "get photo-boxes", "get box"),
    "post photo-retry": ("post photo-retry",),
    "post photo-draw": ("post photo-boxes",),
    "post detection-redraw": ("post box-redraw",),
    "post detection-annotate": ("patch box",),
    "post detection-declare": ("post box-declare",),
    "get individual-list": ("get individuals", "get retired"),
    "get individual-detail": (
        *("get individual", "get individual-boxes", "get individual-visits"),
        *("get individual-matches", "get individual-history"),
    ),
    "post individual-rename": ("patch individual",),
    "post individual-undeclare": ("post undeclare",),
    "post individual-describe": ("patch individual",),
    "get individual-map": ("get individual-places",),
    "post individual-map": ("post individual-places",),
    "post individual-split": ("post split-preview", "post split"),
    "get individual-merge": ("get individual-likely", "post merge-preview"),
    "post individual-merge": ("post merge-preview", "post merge"),
    "post batch-undo": ("post undo-together",),
    "get conflict-list": ("get conflicts",),
    "post conflict-settle": ("post settle",),
    "get join-list": ("get joins",),
    "post join-settle": ("post join-settle",),
    "get decision-undo": ("get decision-undo",),
    "post decision-undo": ("post decision-undo",),
    "get media": ("get media",),
    "get media-screen": ("get media-screen",),
}

_WRITTEN = Browser("Rows as SpotID writes them for itself, for looking into a fault; nothing is done with them.")

# Every list of the admin, with its rows' pages, what is added, changed and deleted there.
ADMIN_ROWS: dict[str, Entry] = {
    "identification_user": ("get accounts", "get one-account", "post accounts", "patch one-account"),
    "auth_group": Browser("Django's groups: they give no right in SpotID, memberships do."),
    "identification_membership": (
        *("get survey-members", "get population-members", "get member", "post survey-members"),
        *("post population-members", "patch member", "delete member"),
    ),
    "identification_auditentry": ("get audit",),
    "identification_apitoken": ("get account-tokens", "delete token"),
    "identification_population": ("get populations", "get population", "patch population"),
    "identification_survey": ("get surveys", "get survey", "post surveys", "patch survey", "delete survey"),
    "identification_station": ("get stations", "get station", "post places", "put places", "patch station"),
    "identification_cameraoperation": ("get operations", "put operations", "delete station-operations"),
    "identification_cameraclock": ("get clocks",),
    "identification_encounterevent": ("get photo", "get individual-visits"),
    "identification_image": ("get photos", "get photo", "post photo-place", "post photo-boxes"),
    "identification_detection": (
        *("get photo-boxes", "get box", "get species", "patch box", "post box-redraw"),
        *("post decisions", "post split"),
    ),
    "identification_individual": (
        *("get individuals", "get individual", "patch individual", "post declare", "post undeclare"),
    ),
    "identification_matchedge": ("get candidates", "get individual-matches", "post decisions"),
    "identification_candidate": ("get candidates",),
    "identification_decision": ("get decisions", "get individual-history"),
    "identification_linkproposal": ("get links", "get links-answered"),
    "identification_opinion": ("get agreement", "get adjudications"),
    "identification_remark": ("get audit", "patch box"),
    "identification_adjudication": ("get agreement",),
    "identification_paircalibration": ("get calibration-standing", "get calibration"),
    "identification_calibrationrun": ("get calibrations",),
    "identification_embeddingmodel": ("get models", "get model", "get model-card", "post model-imports"),
    "identification_modelactivation": ("get activations",),
    "identification_encodingfailure": ("get model-failures",),
    "identification_trainingrun": ("get trainings", "get training", "post training-plan", "post trainings"),
    "identification_work": ("get progress", "get photos", "get photo"),
    "identification_ingestreport": ("get ingest", "get skipped"),
    "identification_ingestrequest": ("get ingest",),
    "identification_receivedfile": ("get ingest", "post announce"),
    "identification_skippedphoto": ("get skipped",),
    "identification_importrun": ("get imports", "get import"),
    "identification_importissue": ("get import-issues",),
    "identification_exportrun": ("get survey-exports", "get population-exports", "get export"),
    "identification_heartbeat": ("get health",),
    **dict.fromkeys(
        (
            *("identification_reviewlease", "identification_reviewposition", "identification_requestkey"),
            *("identification_embedding", "identification_localfeatureset", "identification_triagerun"),
            *("identification_stationbackgroundrecord", "django_q_ormq", "django_q_success"),
            *("django_q_failure", "django_q_schedule"),
        ),
        _WRITTEN,
    ),
}

_MOVES = Browser("A part of a page that renews itself; the row says the same.")
_REPORT = Browser("A page to be read, of what the row holds as figures.")
ADMIN: dict[str, Entry] = {
    "identification_embeddingmodel_fetch": ("get published", "post published"),
    "identification_embeddingmodel_activate": ("post model-activate",),
    "identification_embeddingmodel_retire": ("post model-retire",),
    "identification_embeddingmodel_export": ("post model-file",),
    "identification_embeddingmodel_report": _REPORT,
    "identification_embeddingmodel_roll_back": ("post rollback",),
    "identification_modelactivation_live": _MOVES,
    "identification_modelactivation_cancel": ("post activation-cancel",),
    "identification_paircalibration_fit": ("post calibrations",),
    "identification_paircalibration_rollback": ("post calibrations",),
    "identification_paircalibration_live": _MOVES,
    "identification_trainingrun_live": _MOVES,
    "identification_trainingrun_cancel": ("post training-cancel",),
    "identification_trainingrun_resume": ("post training-resume",),
    "identification_trainingrun_report": _REPORT,
}

# Without rows of their own.
ADMIN_OF_ALL: dict[str, Entry] = {
    "index": ("get surveys", "get health", "get models"),
    "app_list": ("get surveys",),
    "search": Browser("Finds pages of the admin by their names."),
    **dict.fromkeys(("login", "logout"), _SIGN_IN),
    **dict.fromkeys(("password_change", "password_change_done", "auth_user_password_change"), _SECRETS),
    **dict.fromkeys(("autocomplete", "jsi18n"), _HELPER),
    "view_on_site": Browser("Leads to the page of a row."),
}

# What is done there with many chosen rows; "model action".
_EACH_BOX = ("patch box",)
ACTIONS: dict[str, Entry] = {
    "user two_factor_remove": _SECRETS,
    "user sign_on_disconnect": Browser("How somebody signs in is changed by people, in a browser."),
    **{f"matchedge {name}": ("post decisions",) for name in ("match", "no_match", "unsure", "incomparable")},
    **{f"candidate {name}": ("post decisions",) for name in ("match", "no_match", "unsure", "incomparable")},
    "matchedge take_back": ("post decision-undo",),
    "decision take_back": ("post decision-undo",),
    "work retry": ("post photo-retry", "post retries"),
    "image retry": ("post photo-retry",),
    **{f"detection {name}": _EACH_BOX for name in ("annotate", "flank_left", "flank_right", "flank_unknown")},
    **{f"detection {name}": _EACH_BOX for name in ("mark_usable", "mark_unusable")},
    **{f"detection triage_{name}": ("post species-marks",) for name in ("wanted", "other", "undecided")},
    **{f"detection {name}": ("post decisions",) for name in ("different_animals", "unsure", "incomparable")},
    "detection same_animal": ("post decisions", "post merge"),
    "detection declare": ("post box-declare",),
    "detection undeclare": ("post undeclare",),
    "detection detach": ("post split",),
    "individual merge": ("post merge",),
    "individual declare": ("post declare",),
    "individual undeclare": ("post undeclare",),
    "embeddingmodel roll_back": ("post rollback",),
    "population retrain": ("post training-plan", "post trainings"),
    "population export": ("post population-exports",),
    "survey process": ("post processing",),
    "survey retry_failed": ("post retries",),
    "survey match_again": ("post matching",),
    **{f"survey {name}": ("post survey-exports", "post export-file") for name in ("download", "download_with_places")},
    "survey export": ("post survey-exports",),
}
