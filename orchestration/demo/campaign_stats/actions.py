"""What can happen in the example application: one class for each kind of write, with everything it needs.

Here: what is written, as values; and a provider's raw webhook body. Not here: the decisions (`actors.py`), the SQL
(`writes.py`). Times are seconds since 1970, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID


@dataclass
class Campaign:
    """A campaign of the simulator.

    Attributes:
        contacts: phone and template of everybody it will write to.
        queued: how many of them have a queue row.
        waiting: how many of these rows are not sent yet.
    """

    id: UUID
    name: str
    contacts: tuple[tuple[str, str], ...]
    status: str = "draft"
    queued: int = 0
    waiting: int = 0

    @property
    def size(self) -> int:
        return len(self.contacts)


@dataclass(frozen=True)
class Message:
    """A queue row, and the provider's id for the message once it is sent."""

    id: UUID
    campaign: Campaign
    phone: str
    number: str
    template: str
    wamid: str


@dataclass(frozen=True)
class Status:
    """One status in a webhook. `at`: when it happened by the provider's clock, in whole seconds."""

    wamid: str
    status: str
    at: float
    phone: str
    number: str
    remark: Literal["", "repeated", "late", "unknown id", "malformed"] = ""


@dataclass(frozen=True)
class CampaignMade:
    campaign: Campaign
    contacts: tuple[tuple[UUID, str, str], ...]  # id, phone, template
    kind: str = "campaign made"


@dataclass(frozen=True)
class CampaignMoved:
    """Its status changes; `completed` also sets the time."""

    campaign: Campaign
    status: Literal["scheduled", "running", "paused", "completed"]
    at: float

    @property
    def kind(self) -> str:
        return f"campaign {self.status}"


@dataclass(frozen=True)
class CampaignDeleted:
    campaign: Campaign
    kind: str = "campaign deleted"


@dataclass(frozen=True)
class MessagesQueued:
    """Rows inserted in one transaction, which stays open for `hold` seconds before it commits."""

    campaign: Campaign
    messages: tuple[Message, ...]
    hold: float = 0.0
    kind: str = "messages queued"


@dataclass(frozen=True)
class MessagesImported:
    """Rows of messages that another system sent at these times, long ago."""

    campaign: Campaign
    messages: tuple[Message, ...]
    sent_at: tuple[float, ...]
    kind: str = "messages imported"


@dataclass(frozen=True)
class MessageSent:
    """The row records how sending went. Parts of the provider's answer may be missing: its id, the time."""

    message: Message
    status: Literal["sent", "failed"]
    accepted: bool
    stores_id: bool
    sent_at: float | None

    @property
    def kind(self) -> str:
        return f"message {self.status}"


@dataclass(frozen=True)
class IdStored:
    """The message's id is stored only after webhooks that carry it arrived."""

    message: Message
    kind: str = "message id stored late"


@dataclass(frozen=True)
class WebhookCame:
    """A webhook with some statuses; `raw`: it goes through Headrace's intake exactly as the provider sent it."""

    statuses: tuple[Status, ...]
    raw: bool = False

    @property
    def kind(self) -> str:
        return "webhook, raw" if self.raw else "webhook"


@dataclass(frozen=True)
class MessageCame:
    """A row in a conversation, incoming or written by hand."""

    id: UUID
    wamid: str
    phone: str
    number: str
    direction: Literal["incoming", "outgoing"]
    at: float
    reference: str | None
    kind: str
    raw: bool = False


@dataclass(frozen=True)
class RowEdited:
    message: Message
    column: Literal["template_name", "user_phone", "status"]
    value: str

    @property
    def kind(self) -> str:
        return f"edit of {self.column}"


@dataclass(frozen=True)
class LogEdited:
    """One of the message's logged statuses is corrected."""

    message: Message
    status: str
    kind: str = "edit of a logged status"


@dataclass(frozen=True)
class RowDeleted:
    message: Message
    kind: str = "queue row deleted"


@dataclass(frozen=True)
class LogDeleted:
    """One of the message's logged statuses is deleted."""

    message: Message
    kind: str = "logged status deleted"


Action = (
    CampaignMade
    | CampaignMoved
    | CampaignDeleted
    | MessagesQueued
    | MessagesImported
    | MessageSent
    | IdStored
    | WebhookCame
    | MessageCame
    | RowEdited
    | LogEdited
    | RowDeleted
    | LogDeleted
)

ERRORS = ({"code": 131026, "title": "Message undeliverable"},)


def status_body(statuses: Sequence[Status]) -> dict[str, Any]:
    """The webhook as WhatsApp's Cloud API sends it: one entry, one change for each number."""
    numbers = dict.fromkeys(status.number for status in statuses)
    return _body(
        {
            number: {"statuses": [_status(status) for status in statuses if status.number == number]}
            for number in numbers
        }
    )


def message_body(message: MessageCame) -> dict[str, Any]:
    """The webhook for one incoming message."""
    item: dict[str, Any] = {
        "from": message.phone,
        "id": message.wamid,
        "timestamp": str(int(message.at)),
        "type": "text",
        "text": {"body": "Thank you"},
    }
    if message.reference is not None:
        item["context"] = {"id": message.reference}
    return _body({message.number: {"messages": [item]}})


def _status(status: Status) -> dict[str, Any]:
    item: dict[str, Any] = {
        "status": status.status,
        "timestamp": str(int(status.at)),
        "recipient_id": status.phone,
    }
    if status.remark != "malformed":
        item["id"] = status.wamid
    if status.status == "failed":
        item["errors"] = list(ERRORS)
    return item


def _body(values: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    changes = []
    for number, value in values.items():
        metadata = {"display_phone_number": number, "phone_number_id": number}
        changes.append(
            {
                "field": "messages",
                "value": {"messaging_product": "whatsapp", "metadata": metadata, **value},
            }
        )
    return {"object": "whatsapp_business_account", "entry": [{"id": "0", "changes": changes}]}
