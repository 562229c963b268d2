from django.apps import AppConfig


class IdentificationConfig(AppConfig):
    name = "identification"
    verbose_name = "Identification"

    def ready(self) -> None:
        from . import checks  # noqa: F401  (registers the checks)
