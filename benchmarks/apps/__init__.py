"""The same endpoints several times over: by calevents, by hand, and on other frameworks.

Each is a module with an `app`; the database comes in `DATABASE_URL`. All of them take
`Authorization: Bearer <company_id> <user_id> <country>` for the truth.
"""
