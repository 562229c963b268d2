from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...errors import SpotIDError
from ...models import Population
from ...selectors.lookup import population_by_name


class Command(BaseCommand):
    help = (
        "Fit the probability of candidates to a population's confirmed and refused pairs. What is fitted is used only "
        "where it foretells pairs of other individuals better than what ships."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--population", metavar="NAME", help="all populations if not given")
        parser.add_argument("--rollback", action="store_true", help="go back to the calibration before")
        parser.add_argument(
            "--compare", action="store_true", help="change nothing; show the reliability of each, and of the original's"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from ...services.calibration import calibration_compare, calibration_fit, calibration_rollback

        try:
            named = [population_by_name(options["population"])] if options["population"] else None
            if options["rollback"]:
                if named is None:
                    raise CommandError("Name the population to go back in: --population NAME")
                earlier = calibration_rollback(population=named[0], acting_user=None)
                self.stdout.write(f"{named[0]}: {earlier.version if earlier else 'the shipped calibration'} is in use.")
                return
            for population in named or Population.objects.order_by("name"):
                if options["compare"]:
                    self._show(str(population), calibration_compare(population=population))
                    continue
                outcome = calibration_fit(population=population, acting_user=None)
                self.stdout.write(f"{population}: {outcome.sentence}")
                if outcome.refreshed:
                    self.stdout.write(f"{outcome.refreshed} candidates have new probabilities.")
        except SpotIDError as error:
            raise CommandError(str(error)) from None

    def _show(self, name: str, tables: dict[str, dict[str, Any]]) -> None:
        if not tables:
            self.stdout.write(f"{name}: no candidate is decided yet.")
        for title, table in tables.items():
            self.stdout.write(
                f"{name}, {title}: {table['pairs']} candidates, {table['right']:.0%} right, expected calibration error "
                f"{table['ece']:.3f}, Brier {table['brier']:.3f}"
            )
            for row in table["bins"]:
                self.stdout.write(
                    f"  {row['low']:.1f}  {row['pairs']:6d} candidates  said {row['probability']:.3f}  "
                    f"were {row['right']:.3f}"
                )
