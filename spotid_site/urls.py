from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("identification.urls")),
]

handler500 = "identification.views.errors.server_error"
