"""Every address of the pages. tests/identification/test_views_matrix.py holds a rule for each of them."""

from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.urls import path, register_converter

from .views import clocks, health, individuals, links, media, photos, review, review_queue, species, surveys


class PictureKind:
    """The kinds of pictures that can be asked for."""

    regex = "|".join((*media.IMAGE_KINDS, "original", *media.DETECTION_KINDS))

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(PictureKind, "kind")

urlpatterns = [
    path("", surveys.survey_list, name="survey-list"),
    path("health/", health.health, name="health"),
    path("login/", login_not_required(auth.LoginView.as_view(redirect_authenticated_user=True)), name="login"),
    path("logout/", login_not_required(auth.LogoutView.as_view()), name="logout"),
    path("password/", auth.PasswordChangeView.as_view(), name="password_change"),
    path("password/done/", auth.PasswordChangeDoneView.as_view(), name="password_change_done"),
    path("surveys/<int:survey_id>/", surveys.survey_detail, name="survey-detail"),
    path("surveys/<int:survey_id>/progress/", surveys.survey_progress, name="survey-progress"),
    path("surveys/<int:survey_id>/skipped/", surveys.skipped_list, name="survey-skipped"),
    path("surveys/<int:survey_id>/stations/", surveys.station_list, name="survey-stations"),
    path("surveys/<int:survey_id>/retry/", surveys.survey_retry, name="survey-retry"),
    path("surveys/<int:survey_id>/match/", surveys.survey_match, name="survey-match"),
    path("surveys/<int:survey_id>/export/", surveys.survey_export, name="survey-export"),
    path("surveys/<int:survey_id>/links/", links.link_list, name="survey-links"),
    path("surveys/<int:survey_id>/links/confirm/", links.link_confirm, name="survey-links-confirm"),
    path("surveys/<int:survey_id>/links/dismiss/", links.link_dismiss, name="survey-links-dismiss"),
    path("surveys/<int:survey_id>/links/undo/", links.link_undo, name="survey-links-undo"),
    path("surveys/<int:survey_id>/clocks/", clocks.clock_set, name="survey-clocks"),
    path("surveys/<int:survey_id>/photos/", photos.photo_list, name="photo-list"),
    path("surveys/<int:survey_id>/species/", species.species, name="survey-species"),
    path("surveys/<int:survey_id>/species/mark/", species.mark, name="survey-species-mark"),
    path("surveys/<int:survey_id>/species/below/", species.below, name="survey-species-below"),
    path("surveys/<int:survey_id>/species/undo/", species.undo, name="survey-species-undo"),
    path("surveys/<int:survey_id>/species/score/", species.score, name="survey-species-score"),
    path("surveys/<int:survey_id>/review/", review.review, name="review"),
    path("surveys/<int:survey_id>/review/decide/", review.decide, name="review-decide"),
    path("surveys/<int:survey_id>/review/undo/", review.undo, name="review-undo"),
    path("surveys/<int:survey_id>/review/pass/", review.pass_anchor, name="review-pass"),
    path("surveys/<int:survey_id>/review/return/", review.return_anchor, name="review-return"),
    path("surveys/<int:survey_id>/review/certain/", review_queue.certain, name="review-certain"),
    path("surveys/<int:survey_id>/review/certain/confirm/", review_queue.certain_confirm, name="review-confirm"),
    path("surveys/<int:survey_id>/review/later/", review_queue.later, name="review-later"),
    path("surveys/<int:survey_id>/goal/", review_queue.goal, name="survey-goal"),
    path("photos/<int:image_id>/", photos.photo_detail, name="photo-detail"),
    path("photos/<int:image_id>/retry/", photos.photo_retry, name="photo-retry"),
    path("photos/<int:image_id>/boxes/", photos.photo_draw, name="photo-draw"),
    path("boxes/<int:detection_id>/redraw/", photos.detection_redraw_view, name="detection-redraw"),
    path("boxes/<int:detection_id>/annotate/", photos.detection_annotate_view, name="detection-annotate"),
    path("boxes/<int:detection_id>/declare/", photos.detection_declare, name="detection-declare"),
    path("individuals/", individuals.individual_list, name="individual-list"),
    path("individuals/<int:individual_id>/", individuals.individual_detail, name="individual-detail"),
    path("individuals/<int:individual_id>/rename/", individuals.rename, name="individual-rename"),
    path("individuals/<int:individual_id>/undeclare/", individuals.undeclare, name="individual-undeclare"),
    path("conflicts/", individuals.conflict_list, name="conflict-list"),
    path("decisions/<int:decision_id>/undo/", individuals.decision_undo_view, name="decision-undo"),
    path("media/<kind:kind>/<int:object_id>/", media.media, name="media"),
]
