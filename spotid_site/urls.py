from django.contrib import admin
from django.urls import include, path

from identification.views.sign_in import PasswordChange, admin_door

urlpatterns = [
    path("admin/login/", admin_door),
    path("admin/password_change/", PasswordChange.as_view()),
    path("admin/", admin.site.urls),
    path("api/v1/", include("identification.api.urls")),
    path("", include("identification.urls")),
]

handler500 = "identification.views.errors.server_error"
