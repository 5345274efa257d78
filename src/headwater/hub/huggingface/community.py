"""The community's calls: discussions, likes, people, collections, gates, webhooks. One module a noun; the routes meet here."""

from headwater.hub.huggingface import collections, discussions, gates, people, webhooks

ROUTES = [
    *discussions.ROUTES,
    *people.ROUTES,
    *collections.ROUTES,
    *gates.ROUTES,
    *webhooks.ROUTES,
]
