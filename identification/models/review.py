"""What people decided, what is believed because of it, and the individuals that follow."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from .access import User
from .image import Detection
from .survey import Population, Survey


class Verdict(models.TextChoices):
    MATCH = "match", _("Match")
    NO_MATCH = "no_match", _("Not a match")
    UNSURE = "unsure", _("Unsure")
    INCOMPARABLE = "incomparable", _("Incomparable")


class Provenance(models.TextChoices):
    REVIEWER = "reviewer", _("Reviewer")
    SAME_EVENT = "same_event", _("Same event")
    PAIRED_CAMERAS = "paired_cameras", _("Paired cameras")
    IMPORTED = "imported", _("Imported")


class Sex(models.TextChoices):
    UNKNOWN = "", _("Not known")
    FEMALE = "female", _("Female")
    MALE = "male", _("Male")


class AgeClass(models.TextChoices):
    """The life stages of Camtrap DP."""

    UNKNOWN = "", _("Not known")
    JUVENILE = "juvenile", _("Cub or juvenile")
    SUBADULT = "subadult", _("Subadult")
    ADULT = "adult", _("Adult")


class Individual(models.Model):
    """A named animal.

    It lives in the component of match edges that holds its founding detection. Where a component holds the founders of
    several individuals, one of them stands for all and the others are retired and point to it; when the component
    splits, they are back. So every decision can be taken back exactly.
    """

    population = models.ForeignKey(Population, on_delete=models.PROTECT, related_name="individuals")
    number = models.PositiveIntegerField(help_text=_("Never reused, never renumbered."))
    name = models.CharField(max_length=120, blank=True)
    sex = models.CharField(max_length=8, choices=Sex, default=Sex.UNKNOWN, blank=True)
    age_class = models.CharField(
        max_length=10, choices=AgeClass, default=AgeClass.UNKNOWN, blank=True, help_text=_("When it was seen last.")
    )
    founder = models.OneToOneField(Detection, on_delete=models.CASCADE, related_name="founded_individual")
    declared = models.BooleanField(
        default=False, help_text=_("A person said that this animal is one, even if it was seen once.")
    )
    retired = models.BooleanField(default=False)
    merged_into = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="merged")
    notes = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["population", "number"]
        constraints = [
            models.UniqueConstraint(fields=["population", "number"], name="individual_number_once_per_population"),
            models.CheckConstraint(
                condition=Q(retired=True) | Q(merged_into__isnull=True), name="individual_merged_is_retired"
            ),
            models.CheckConstraint(
                condition=Q(merged_into__isnull=True) | ~Q(merged_into=F("id")),
                name="individual_not_merged_into_itself",
            ),
            models.CheckConstraint(condition=Q(sex__in=["", "female", "male"]), name="individual_sex_known"),
            models.CheckConstraint(
                condition=Q(age_class__in=["", "juvenile", "subadult", "adult"]), name="individual_age_class_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.code

    @property
    def code(self) -> str:
        return f"{self.population.code_prefix}-{self.number:04d}"


class MatchEdge(models.Model):
    """What is believed of one unordered pair of detections: the fold of its decisions. No verdict: none stands."""

    a = models.ForeignKey(Detection, on_delete=models.CASCADE, related_name="edges_as_a")
    b = models.ForeignKey(Detection, on_delete=models.CASCADE, related_name="edges_as_b")
    verdict = models.CharField(max_length=12, choices=Verdict, blank=True)
    probability = models.FloatField(null=True, blank=True)
    provenance = models.CharField(max_length=16, choices=Provenance, default=Provenance.REVIEWER)
    version = models.PositiveIntegerField(default=0, help_text=_("Grows by one with every decision."))
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["a", "b"], name="edge_once_per_pair"),
            models.CheckConstraint(condition=Q(a__lt=F("b")), name="edge_pair_is_ordered"),
            models.CheckConstraint(condition=Q(verdict__in=["", *Verdict.values]), name="edge_verdict_known"),
            models.CheckConstraint(
                condition=Q(probability__isnull=True) | Q(probability__range=(0, 1)),
                name="edge_probability_is_fraction",
            ),
        ]
        indexes = [models.Index(fields=["verdict"], name="edge_verdict")]

    def __str__(self) -> str:
        return f"{self.a_id}–{self.b_id}: {self.get_verdict_display() or 'undecided'}"


class Decision(models.Model):
    """Append-only: who said what about which pair, when, what it was before. An undo names the decision it undoes.

    PROPOSED is a match of two named animals that waits for a curator: no verdict of an edge, and nothing follows from
    it. docs/decisions/0046-joins-that-wait.md.
    """

    PROPOSED = "proposed"

    edge = models.ForeignKey(MatchEdge, on_delete=models.CASCADE, related_name="decisions")
    acting_user = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="decisions")
    verdict = models.CharField(
        max_length=12, choices=[*Verdict.choices, (PROPOSED, _("Match, waits for a curator"))], blank=True
    )
    previous_verdict = models.CharField(max_length=12, choices=Verdict, blank=True)
    provenance = models.CharField(max_length=16, choices=Provenance, default=Provenance.REVIEWER)
    undoes = models.OneToOneField("self", null=True, blank=True, on_delete=models.CASCADE, related_name="undone_by")
    anchor = models.ForeignKey(Detection, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    probability_shown = models.FloatField(null=True, blank=True)
    batch = models.UUIDField(
        null=True, blank=True, editable=False, help_text=_("Shared by decisions that were confirmed in one glance.")
    )
    key = models.UUIDField(
        null=True,
        blank=True,
        unique=True,
        editable=False,
        help_text=_("Made by the browser: what arrives twice is recorded once."),
    )
    note = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(undoes__isnull=True, verdict__in=[*Verdict.values, "proposed"])
                | Q(undoes__isnull=False, verdict=""),
                name="decision_is_verdict_or_undo",
            ),
        ]
        indexes = [
            models.Index(fields=["acting_user", "-id"], name="decision_by_user"),
            # Few ever are, and every page of a review asks for them.
            models.Index(fields=["edge"], condition=Q(verdict="proposed"), name="decision_proposed"),
        ]

    def __str__(self) -> str:
        return f"{self.get_verdict_display() or 'undo'} on {self.edge_id}"

    @property
    def proposed(self) -> bool:
        return self.verdict == self.PROPOSED


class Candidate(models.Model):
    """A detection that may show the same individual as the anchor, as the last matching run ranked it."""

    anchor = models.ForeignKey(Detection, on_delete=models.CASCADE, related_name="candidates")
    detection = models.ForeignKey(Detection, on_delete=models.CASCADE, related_name="candidate_for")
    rank = models.PositiveSmallIntegerField()
    similarity = models.FloatField(null=True, blank=True, help_text=_("Cosine of the active model's vectors."))
    inliers = models.PositiveIntegerField(default=0, help_text=_("Geometrically verified matches of local features."))
    score = models.FloatField()
    probability = models.FloatField()
    evidence = models.JSONField(default=dict, blank=True, help_text=_("What the probability was computed from."))
    engine = models.CharField(max_length=120)

    class Meta:
        ordering = ["anchor", "rank"]
        constraints = [
            models.UniqueConstraint(fields=["anchor", "detection"], name="candidate_once_per_anchor"),
            models.UniqueConstraint(fields=["anchor", "rank"], name="candidate_rank_once_per_anchor"),
            models.CheckConstraint(condition=~Q(anchor=F("detection")), name="candidate_is_another_detection"),
            models.CheckConstraint(condition=Q(probability__range=(0, 1)), name="candidate_probability_is_fraction"),
        ]

    def __str__(self) -> str:
        return f"{self.anchor_id} ~ {self.detection_id} ({self.probability:.2f})"


class ReviewPosition(models.Model):
    """Where a reviewer was in a survey, which order she works in, and which anchors and questions she has put off.

    The first two modes are orders of the whole survey; the others ask only a part of it, which `focus` names.
    """

    class Mode(models.TextChoices):
        QUEUE = "queue", _("By what is settled")
        PHOTO = "photo", _("By photo")
        STATION = "station", _("One station")
        DATE = "date", _("Dates")
        INDIVIDUAL = "individual", _("One individual")
        MINE = "mine", _("Only mine")

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="review_positions")
    survey = models.ForeignKey(Survey, on_delete=models.CASCADE, related_name="review_positions")
    anchor = models.ForeignKey(Detection, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    mode = models.CharField(max_length=10, choices=Mode, default=Mode.QUEUE)
    focus = models.JSONField(
        default=dict, blank=True, help_text=_("Of modes that ask a part: station, individual, from, to.")
    )
    passed = models.ManyToManyField(Detection, blank=True, related_name="+")
    put_off = models.JSONField(default=list, blank=True, help_text=_("Pairs of detection ids, the last put off last."))
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "survey"], name="review_position_once")]

    def __str__(self) -> str:
        return f"{self.user} in {self.survey}"


class Remark(models.Model):
    """What a reviewer said of one photo from a question: that it is of no use, or which flank it shows.

    It is kept beside the audit log so that Undo takes it back in its turn, as it does a decision. flag, word: what the
    box is by it: of `USABLE` whether it is of use and why not, of `FLANK` whether a person said so and which one.
    docs/decisions/0054-what-undo-takes-back.md.
    """

    class Kind(models.TextChoices):
        USABLE = "usable", _("Usable")
        FLANK = "flank", _("Flank")

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="remarks")
    survey = models.ForeignKey(Survey, on_delete=models.CASCADE, related_name="+", help_text=_("Whose review it was."))
    detection = models.ForeignKey(Detection, on_delete=models.CASCADE, related_name="remarks")
    kind = models.CharField(max_length=8, choices=Kind)
    flag_before = models.BooleanField()
    word_before = models.CharField(max_length=200, blank=True)
    flag = models.BooleanField()
    word = models.CharField(max_length=200, blank=True)
    pair = models.JSONField(default=list, help_text=_("The two photos of the question, in its order."))
    candidates = models.JSONField(
        default=list, blank=True, help_text=_("Those that went with it, so that the question is there again.")
    )
    key = models.UUIDField(unique=True, editable=False, help_text=_("What arrives twice is said once."))
    undone_at = models.DateTimeField(null=True, blank=True)
    undo_key = models.UUIDField(null=True, blank=True, unique=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [models.CheckConstraint(condition=Q(kind__in=["usable", "flank"]), name="remark_kind_known")]
        indexes = [
            models.Index(fields=["user", "survey", "-id"], condition=Q(undone_at__isnull=True), name="remark_standing"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.detection_id}"


class LinkProposal(models.Model):
    """Detections that time and place say may be one animal, waiting for one glance of a person.

    Nothing joins before it is confirmed. A proposal that was dismissed is not made again.
    """

    class Kind(models.TextChoices):
        SAME_EVENT = "same_event", _("Burst of one camera")
        PAIRED_CAMERAS = "paired_cameras", _("Two cameras of one station")

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        CONFIRMED = "confirmed", _("Confirmed")
        DISMISSED = "dismissed", _("Dismissed")

    survey = models.ForeignKey(Survey, on_delete=models.CASCADE, related_name="link_proposals")
    kind = models.CharField(max_length=16, choices=Kind)
    detections = models.ManyToManyField(Detection, related_name="link_proposals")
    key = models.CharField(max_length=64, help_text=_("SHA-256 of the kind and the detections' ids."))
    started_at = models.DateTimeField()
    seconds = models.FloatField(help_text=_("From the first to the last photo, clocks corrected."))
    left_out = models.ManyToManyField(
        Detection, related_name="+", blank=True, help_text=_("Those that the person who confirmed it did not tick.")
    )
    batch = models.UUIDField(
        null=True, blank=True, editable=False, help_text=_("Of the decisions that its confirmation wrote.")
    )
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    decided_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["started_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["survey", "key"], name="link_proposal_once"),
            models.CheckConstraint(condition=Q(state__in=["open", "confirmed", "dismissed"]), name="proposal_known"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} in {self.survey}: {self.get_state_display()}"


class PairCalibration(models.Model):
    """Coefficients fitted on a population's own confirmed and refused pairs, with how well they hold."""

    population = models.ForeignKey(Population, on_delete=models.CASCADE, related_name="calibrations")
    coefficients = models.JSONField()
    version = models.CharField(max_length=120)
    features = models.CharField(max_length=64, help_text=_("Version of the local features that it was fitted with."))
    pairs = models.PositiveIntegerField()
    right = models.PositiveIntegerField()
    report = models.JSONField(default=dict, blank=True, help_text=_("Reliability on held-out individuals."))
    active = models.BooleanField(default=True)
    fitted_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    decided_until = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text=_("What was decided until then is in it, what came later is not."),
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False, help_text=_("When it was fitted and stored."))

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["population"], condition=Q(active=True), name="one_active_calibration"),
        ]

    def __str__(self) -> str:
        return f"{self.version} of {self.population}"
