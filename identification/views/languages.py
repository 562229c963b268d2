"""The language of the pages: choosing it, and the words of scripts in it."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils.translation import override
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page, require_POST
from django.views.i18n import JavaScriptCatalog, set_language

# Django's own view keeps the choice in a cookie and leads back to `next` when that stays on this site.
choose = login_not_required(require_POST(set_language))

# Of all catalogues for scripts only ours: the packages that are installed bring words that no page of ours says.
_catalogue = JavaScriptCatalog.as_view(packages=["identification"])


@login_not_required
@conditional_page
@cache_control(private=True, max_age=3600)
def catalogue(request: HttpRequest) -> HttpResponseBase:
    """The catalogue of static/spotid/js/text.js. Its language stands in the address, so that no cache mixes two.

    Raises Http404 for a language that pages are not shown in.
    """
    language = request.GET.get("language", settings.LANGUAGE_CODE)
    if language not in dict(settings.LANGUAGES):
        raise Http404("No such language.")
    with override(language):
        return _catalogue(request)
