"""The door: passwords, throttle, second factor, and that there is no other way in."""

from __future__ import annotations

import time
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import NoReverseMatch, get_resolver, reverse

from identification.models import AuditEntry, User
from identification.services.sign_ins import second_factors_remove
from tests.identification import factories as make

pytestmark = pytest.mark.django_db


def sign_in(name: str, password: str = make.PASSWORD, client: Client | None = None, **form: str) -> Any:
    """What the page answers; the client carries the session."""
    client = client or Client()
    response = client.post(reverse("login"), {"username": name, "password": password, **form})
    response.client = client
    return response


def is_in(client: Client) -> bool:
    return client.get(reverse("survey-list")).status_code == 200


def code_of(secret: str) -> str:
    """The digits that an authenticator app shows now (RFC 6238)."""
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def with_second_factor(user: User) -> tuple[Client, str, list[str]]:
    """Switch the second factor on as a person does; returns the browser, the app's secret and the recovery codes."""
    client = sign_in(user.username).client
    asked = client.get(reverse("mfa_activate_totp"))
    assert asked.url.startswith(reverse("account_reauthenticate"))
    assert client.post(asked.url, {"password": make.PASSWORD}).url == reverse("mfa_activate_totp")
    secret = client.get(reverse("mfa_activate_totp")).context["form"].secret
    done = client.post(reverse("mfa_activate_totp"), {"code": code_of(secret)})
    assert done.url == reverse("mfa_view_recovery_codes")
    return client, secret, client.get(done.url).context["unused_codes"]


def said(*actions: str) -> list[tuple[str, str | None, dict[str, Any]]]:
    rows = AuditEntry.objects.filter(action__in=actions) if actions else AuditEntry.objects.all()
    return [(row.action, str(row.acting_user or "") or None, row.after) for row in rows.order_by("pk")]


class TestPassword:
    def test_in_and_out_are_written_down(self) -> None:
        make.make_user("ana")
        client = sign_in("ana").client
        assert is_in(client)
        client.post(reverse("logout"))
        assert not is_in(client)
        here = {"address": "127.0.0.1", "how": "password"}
        assert said() == [("sign_in", "ana", here), ("sign_out", "ana", {})]

    def test_a_wrong_one_is_written_down_with_the_name_only_if_it_is_one(self) -> None:
        make.make_user("ana")
        for name in ("Ana", "my-password-in-the-wrong-field"):
            assert not is_in(sign_in(name, "guess").client)
        told = {"address": "127.0.0.1", "why": "password"}
        assert said() == [
            ("sign_in.failure", None, {"name": "ana", **told}),
            ("sign_in.failure", None, {"name": "", **told}),
        ]

    def test_known_and_unknown_names_get_the_same_words(self) -> None:
        make.make_user("ana")
        known, unknown = (sign_in(name, "guess") for name in ("ana", "nobody"))
        assert [str(e) for e in known.context["form"].non_field_errors()] == [
            str(e) for e in unknown.context["form"].non_field_errors()
        ]

    def test_a_closed_account_is_told_so_only_with_its_password(self) -> None:
        make.make_user("ana", is_active=False)
        assert sign_in("ana").url == reverse("account_inactive")
        assert sign_in("ana", "guess").status_code == 200
        assert [why["why"] for _, _, why in said()] == ["account is switched off", "password"]

    def test_an_account_closed_in_mid_session_is_out_at_once(self) -> None:
        user = make.make_user("ana")
        client = sign_in("ana").client
        User.objects.filter(pk=user.pk).update(is_active=False)
        assert not is_in(client)

    def test_a_changed_password_ends_other_sessions_and_is_written_down(self) -> None:
        make.make_user("ana")
        here, there = sign_in("ana").client, sign_in("ana").client
        new = "a quite different phrase 7"
        here.post(
            reverse("password_change"),
            {"old_password": make.PASSWORD, "new_password1": new, "new_password2": new},
        )
        assert is_in(here) and not is_in(there)
        assert said("user.password") == [("user.password", "ana", {})]

    @pytest.mark.parametrize("name", ["password_change", "admin:password_change"])
    def test_the_old_one_is_not_guessed_in_a_browser_that_was_left_signed_in(self, name: str) -> None:
        make.make_user("boss", superuser=True)
        client = sign_in("boss").client
        new = "a quite different phrase 7"
        form = {"old_password": "guess", "new_password1": new, "new_password2": new}
        answers = [client.post(reverse(name), form).status_code for _ in range(6)]
        assert answers == [200] * 5 + [429]
        assert client.post(reverse(name), {**form, "old_password": make.PASSWORD}).status_code == 429

    def test_it_leads_on_only_to_addresses_here(self) -> None:
        make.make_user("ana")
        for elsewhere in ("https://evil.example/", "//evil.example/", "http://localhost/", "javascript:alert(1)"):
            assert sign_in("ana", next=elsewhere).url == reverse("survey-list"), elsewhere
        assert sign_in("ana", next="/audit/?who=ana").url == "/audit/?who=ana"


class TestThrottle:
    def test_after_five_wrong_passwords_the_right_one_is_refused_for_five_minutes(self, monkeypatch) -> None:
        make.make_user("ana"), make.make_user("ben")
        for _ in range(5):
            sign_in("ana", "guess")
        refused = sign_in("ana")
        assert not is_in(refused.client) and "Too many attempts" in refused.content.decode()
        assert is_in(sign_in("ben").client), "nobody else is kept out"
        sign_in("ANA"), sign_in("ana")
        assert [why["why"] for _, _, why in said("sign_in.failure")].count("too many attempts") == 2  # ana, ANA
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 301)
        assert is_in(sign_in("ana").client)

    def test_right_passwords_between_do_not_reset_the_count(self) -> None:
        make.make_user("ana")
        came_in = []
        for _ in range(5):
            sign_in("ana", "guess")
            came_in.append(is_in(sign_in("ana").client))
        assert came_in == [True] * 4 + [False]

    def test_many_names_from_one_address_are_refused_too(self, settings) -> None:
        assert "60/m/ip" in settings.ACCOUNT_RATE_LIMITS["login_failed"]  # hashing so many passwords takes long
        settings.ACCOUNT_RATE_LIMITS = {"login_failed": "6/m/ip,5/5m/key"}
        make.make_user("ana")
        for number in range(6):
            sign_in(f"name{number}", "guess")
        assert "Too many attempts" in sign_in("ana").content.decode()

    def test_the_counts_are_kept_where_every_process_sees_them(self) -> None:
        sign_in("nobody", "guess")
        assert settings.CACHES["default"]["BACKEND"] == "django.core.cache.backends.db.DatabaseCache"
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM spotid_cache WHERE cache_key LIKE '%%login_failed%%'")
            assert cursor.fetchone()[0] > 0

    def test_a_host_or_port_that_the_browser_makes_up_does_not_help(self) -> None:
        make.make_user("ana")
        form = {"username": "ana", "password": "guess"}
        for number in range(5):
            Client(headers={"Host": f"localhost:{8000 + number}"}).post(reverse("login"), form)
        refused = Client(headers={"Host": "127.0.0.1"}).post(reverse("login"), {**form, "password": make.PASSWORD})
        assert "Too many attempts" in refused.content.decode()

    def test_an_address_that_the_browser_makes_up_does_not_help(self) -> None:
        make.make_user("ana")
        for number in range(5):
            Client(headers={"X-Forwarded-For": f"10.0.0.{number}"}).post(
                reverse("login"), {"username": "ana", "password": "guess"}
            )
        assert {why["address"] for _, _, why in said("sign_in.failure")} == {"127.0.0.1"}


class TestSecondFactor:
    def test_the_password_alone_opens_nothing(self) -> None:
        ana = make.make_user("ana", superuser=True)
        _, secret, _ = with_second_factor(ana)
        first = sign_in("ana", next=reverse("conflict-list"))
        assert first.url == reverse("mfa_authenticate")
        for address in (reverse("survey-list"), reverse("account"), reverse("admin:index")):
            assert first.client.get(address).status_code == 302
        wrong = first.client.post(reverse("mfa_authenticate"), {"code": "000000"})
        assert wrong.status_code == 200 and "not right" in wrong.content.decode()
        right = first.client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
        assert right.url == reverse("conflict-list") and is_in(first.client)
        assert said("sign_in", "sign_in.failure")[-2:] == [
            ("sign_in.failure", None, {"name": "ana", "address": "127.0.0.1", "why": "second factor"}),
            ("sign_in", "ana", {"address": "127.0.0.1", "how": "password, two-factor"}),
        ]

    def test_a_code_counts_once(self) -> None:
        ana = make.make_user("ana")
        _, secret, codes = with_second_factor(ana)
        for code in (code_of(secret), codes[0]):
            again = []
            for _ in range(2):
                client = sign_in("ana").client
                client.post(reverse("mfa_authenticate"), {"code": code})
                again.append(is_in(client))
            assert again == [True, False], code

    def test_codes_are_throttled(self) -> None:
        ana = make.make_user("ana")
        _, secret, _ = with_second_factor(ana)
        client = sign_in("ana").client
        for number in range(5):
            client.post(reverse("mfa_authenticate"), {"code": f"00000{number}"})
        refused = client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
        assert "Too many attempts" in refused.content.decode() and not is_in(client)

    def test_recovery_codes_are_shown_once_and_new_ones_void_the_old(self) -> None:
        client, _, codes = with_second_factor(make.make_user("ana"))
        assert len(codes) == 10
        again = client.get(reverse("mfa_view_recovery_codes"))
        assert not any(code in again.content.decode() for code in codes)
        made = client.post(reverse("mfa_generate_recovery_codes"), follow=True).context["unused_codes"]
        assert len(made) == 10 and not set(made) & set(codes)
        late = sign_in("ana").client
        late.post(reverse("mfa_authenticate"), {"code": codes[1]})
        assert not is_in(late)

    def test_it_is_set_up_and_removed_only_by_who_proves_to_be_it(self) -> None:
        ana = make.make_user("ana")
        client, secret, _ = with_second_factor(ana)
        later = sign_in("ana").client
        later.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
        asked = later.post(reverse("mfa_deactivate_totp"))
        assert asked.url.startswith(reverse("account_reauthenticate"))
        assert later.post(asked.url, {"password": "guess"}).status_code == 200
        assert Authenticator.objects.filter(user=ana).exists()
        assert client.post(reverse("mfa_deactivate_totp")).url == reverse("account")
        assert not Authenticator.objects.filter(user=ana).exists()
        assert is_in(sign_in("ana").client)

    def test_what_changes_is_written_down_without_any_secret(self, django_capture_on_commit_callbacks) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            client, secret, codes = with_second_factor(make.make_user("ana"))
            client.post(reverse("mfa_generate_recovery_codes"))
            client.post(reverse("mfa_deactivate_totp"))
        told = said("two_factor.add", "two_factor.remove", "two_factor.renew")
        assert {(action, who, after["kind"]) for action, who, after in told} == {
            ("two_factor.add", "ana", "totp"),
            ("two_factor.add", "ana", "recovery_codes"),
            ("two_factor.renew", "ana", "recovery_codes"),
            ("two_factor.remove", "ana", "totp"),
            ("two_factor.remove", "ana", "recovery_codes"),
        }
        everything = str(list(AuditEntry.objects.values()))
        assert secret not in everything and not any(code in everything for code in codes)

    def test_an_administrator_takes_it_away_from_who_lost_it(self) -> None:
        ana, boss = make.make_user("ana"), make.make_user("boss", superuser=True)
        with_second_factor(ana)
        client = Client()
        client.force_login(boss)
        form = {"action": "two_factor_remove", "_selected_action": [ana.pk]}
        client.post(reverse("admin:identification_user_changelist"), form)
        assert is_in(sign_in("ana").client)
        assert said("two_factor.remove") == [("two_factor.remove", "boss", {"kind": "all", "number": 2})]
        assert second_factors_remove(acting_user=boss, user=ana) == 0

    def test_the_only_administrator_gets_back_in_by_command(self, capsys) -> None:
        with_second_factor(make.make_user("boss", superuser=True))
        call_command("two_factor_remove", "boss")
        assert "any more" in capsys.readouterr().out
        assert is_in(sign_in("boss").client)
        assert said("two_factor.remove")[-1][1] is None
        with pytest.raises(CommandError):
            call_command("two_factor_remove", "nobody")


class TestOtherDoors:
    def test_the_admin_has_no_sign_in_of_its_own(self) -> None:
        make.make_user("boss", superuser=True)
        client = Client()
        address = reverse("admin:login")
        for answer in (
            client.get(address),
            client.post(address, {"username": "boss", "password": make.PASSWORD, "next": "/admin/"}),
            client.post(address + "?next=https://evil.example/", {"username": "boss", "password": make.PASSWORD}),
        ):
            assert answer.url == f"{reverse('login')}?next=%2Fadmin%2F"
        assert not is_in(client) and not AuditEntry.objects.exists()

    def test_who_is_signed_in_cannot_try_passwords_of_others_there(self) -> None:
        make.make_user("boss", superuser=True)
        client = Client()
        client.force_login(make.make_user("clerk", is_staff=True))
        answer = client.post(reverse("admin:login"), {"username": "boss", "password": make.PASSWORD})
        assert answer.url == reverse("admin:index")
        assert client.get(reverse("account")).context["user"].username == "clerk"
        client.force_login(make.make_user("ana"))
        assert client.get(reverse("admin:login")).status_code == 403

    def test_nobody_signs_up_and_no_mail_resets_a_password(self) -> None:
        for name in ("account_signup", "account_email", "account_reset_password", "socialaccount_signup"):
            with pytest.raises(NoReverseMatch):
                reverse(name)
        named = {name for name in get_resolver().reverse_dict if isinstance(name, str)}
        assert not {name for name in named if "signup" in name or "reset" in name}
        client = Client()
        for path in ("/accounts/signup/", "/signup/", "/accounts/login/", "/accounts/password/reset/"):
            assert client.get(path).status_code in (302, 404)
            assert not client.get(path).headers.get("Location", "/login/").startswith("/accounts")
