-- Comments of tables, views and columns in plain English.

{{ set_comments() }}

ALTER TABLE schema_migrations
    COMMENT COLUMN number 'Number of the migration',
    COMMENT COLUMN name 'File name of the migration',
    COMMENT COLUMN sha256 'SHA-256 of its SQL text',
    COMMENT COLUMN changed_at 'When this row was inserted, UTC',
    COMMENT COLUMN started_at 'When it was started, UTC',
    COMMENT COLUMN finished_at 'When it was completed, UTC; null if it was not',
    COMMENT COLUMN by 'Host and process that applied it',
    MODIFY COMMENT 'Migrations applied to this database';
