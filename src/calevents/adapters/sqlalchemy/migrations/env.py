"""Run by Alembic for calevents' own commands; a host's environment has its own."""

from alembic import context

from calevents.adapters.sqlalchemy.migrations.layout import Layout

given = context.config.attributes
where = Layout.of(context.config).version_options

if context.is_offline_mode():
    context.configure(
        dialect_name=given["dialect"], literal_binds=True, transactional_ddl=True, **where
    )
    with context.begin_transaction():
        for statement in given.get("preamble", ()):
            context.execute(statement)
        context.run_migrations()
else:
    # The caller's transaction, which the caller commits.
    context.configure(connection=given["connection"], transactional_ddl=True, **where)
    context.run_migrations()
