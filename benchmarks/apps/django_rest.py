"""Django REST framework: models, a model serializer, cursor pagination, a generic view."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import django
from django.conf import settings

_database = urlsplit(os.environ["DATABASE_URL"])

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": _database.hostname,
            "PORT": _database.port,
            "USER": _database.username,
            "PASSWORD": unquote(_database.password or ""),
            "NAME": _database.path.lstrip("/"),
            "CONN_MAX_AGE": None,  # each thread keeps its connection
        }
    },
    INSTALLED_APPS=["rest_framework"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],  # brings Content-Length
    REST_FRAMEWORK={
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
        "DEFAULT_AUTHENTICATION_CLASSES": [],  # the view names its own
        "UNAUTHENTICATED_USER": None,
    },
    ROOT_URLCONF="benchmarks.apps.django_rest",
    TIME_ZONE="UTC",
    USE_TZ=True,
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402 - Django wants its settings first
from django.db import models  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework import generics, pagination, serializers  # noqa: E402
from rest_framework.authentication import BaseAuthentication  # noqa: E402
from rest_framework.exceptions import NotAuthenticated  # noqa: E402
from rest_framework.response import Response  # noqa: E402

from benchmarks.apps.callers import Caller, caller  # noqa: E402

HOUR = timedelta(hours=1)


class Event(models.Model):
    """An event."""

    pk = models.CompositePrimaryKey("company_id", "id")
    company_id = models.BigIntegerField()
    id = models.BigIntegerField()
    user_id = models.BigIntegerField(null=True)
    title = models.CharField(max_length=255)
    description = models.TextField(null=True)
    url = models.CharField(max_length=2048, null=True)
    venue = models.CharField(max_length=255, null=True)
    color = models.CharField(max_length=7, null=True)
    start = models.DateTimeField(db_column="starts_at")
    end = models.DateTimeField(db_column="ends_at")
    time_zone = models.CharField(max_length=64)
    canonical_time_zone = models.CharField(max_length=64)
    active = models.BooleanField()
    images = models.JSONField(null=True)
    countries = models.CharField(max_length=1000)
    notification_sent_at = models.DateTimeField(null=True)

    class Meta:
        """The table is there already."""

        app_label = "benchmarks"
        managed = False
        db_table = "calevents_events"


class Audience(models.Model):
    """Who sees an event."""

    pk = models.CompositePrimaryKey("company_id", "audience", "starts_at", "event_id")
    company_id = models.BigIntegerField()
    audience = models.CharField(max_length=24)
    starts_at = models.DateTimeField()
    event_id = models.BigIntegerField()
    ends_at = models.DateTimeField()

    class Meta:
        """The table is there already."""

        app_label = "benchmarks"
        managed = False
        db_table = "calevents_audiences"


class BearerAuthentication(BaseAuthentication):
    """Takes the caller's word."""

    def authenticate(self, request: Any) -> tuple[Caller, None] | None:
        """The caller stands for Django's user."""
        found = caller(request.headers.get("Authorization", ""))
        return None if found is None else (found, None)

    def authenticate_header(self, request: Any) -> str:
        """Makes DRF answer 401."""
        return "Bearer"


class EventSerializer(serializers.ModelSerializer):
    """An event as the API shows it."""

    active = serializers.SerializerMethodField()
    status = serializers.SerializerMethodField()
    image_url = serializers.SerializerMethodField()
    images = serializers.SerializerMethodField()
    countries = serializers.SerializerMethodField()

    class Meta:
        """The keys in their order."""

        model = Event
        fields = (
            "id", "company_id", "user_id", "title", "description", "url", "venue", "color",
            "start", "end", "time_zone", "canonical_time_zone", "active", "status", "image_url",
            "images", "countries", "notification_sent_at",
        )  # fmt: skip

    def get_active(self, event: Event) -> bool:
        """Whether it is in the active view."""
        return event.active and self.context["now"] < event.end

    def get_status(self, event: Event) -> str | None:
        """Where it stands in its life."""
        now = self.context["now"]
        if now < event.start:
            return "STARTING SOON" if event.start - now <= HOUR else None
        return "IN PROGRESS" if now < event.end else "CONCLUDED"

    def get_image_url(self, event: Event) -> str | None:
        """The first image."""
        return event.images[0][4] if event.images else None

    def get_images(self, event: Event) -> list[dict[str, Any]]:
        """The images as objects."""
        names = ("id", "position", "mini", "detail", "full")
        return [dict(zip(names, image, strict=True)) for image in event.images or []]

    def get_countries(self, event: Event) -> list[str]:
        """The codes."""
        return event.countries.split()


class EventPagination(pagination.CursorPagination):
    """Keyset pages in the API's envelope."""

    ordering = ("start", "id")
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 100

    def get_paginated_response(self, data: Any) -> Response:
        """The envelope, and the next page's link."""
        link = self.get_next_link()
        request_id = self.request.headers.get("X-Request-Id") or uuid4().hex
        headers = {"X-Request-Id": request_id}
        cursor = None
        if link is not None:
            headers["Link"] = f'<{link}>; rel="next"'
            cursor = parse_qs(urlsplit(link).query)["cursor"][0]
        now = datetime.now(UTC)
        meta = {"request_id": request_id, "timestamp": now, "next_cursor": cursor}
        return Response({"events": data, "meta": meta}, headers=headers)


class EventList(generics.ListAPIView):
    """A user's active view."""

    authentication_classes = (BearerAuthentication,)
    serializer_class = EventSerializer
    pagination_class = EventPagination

    def get_queryset(self) -> Any:
        """What the caller sees and hasn't ended."""
        who = self.request.user
        if who is None:
            raise NotAuthenticated
        seen = Audience.objects.filter(
            company_id=who.company_id,
            audience__in=["*", f"c:{who.country}", f"u:{who.user_id}"],
            ends_at__gt=datetime.now(UTC),
        )
        return Event.objects.filter(
            company_id=who.company_id, active=True, id__in=seen.values("event_id")
        )

    def get_serializer_context(self) -> dict[str, Any]:
        """With the clock."""
        return {**super().get_serializer_context(), "now": datetime.now(UTC)}


urlpatterns = [path("api/user/crm/v202506/events", EventList.as_view())]

app = get_wsgi_application()
