"""The example on the page that calevents implements."""

from typing import Any

PAGE_EXAMPLE: dict[str, Any] = {
    "id": 12345,
    "company_id": 67890,
    "user_id": None,
    "title": "Summer Product Launch",
    "description": "Join us for the unveiling of our new summer collection!",
    "url": "https://example.com/events/summer-launch",
    "venue": "Virtual Event - Zoom",
    "color": "#FF5733",
    "start": "2025-06-15T14:00:00Z",
    "end": "2025-06-15T16:00:00Z",
    "time_zone": "America/New_York",
    "canonical_time_zone": "America/New_York",
    "active": True,
    "status": "STARTING SOON",
    "image_url": "https://example.com/images/summer-launch.jpg",
    "images": [
        {
            "id": 111,
            "position": 1,
            "mini": "https://example.com/images/summer-launch-mini.jpg",
            "detail": "https://example.com/images/summer-launch-detail.jpg",
            "full": "https://example.com/images/summer-launch.jpg",
        }
    ],
    "countries": ["US", "CA", "MX"],
    "notification_sent_at": None,
}
