-- The durable state of one machine in one file: a commit changes all of it or nothing.

create table if not exists documents (
    path       text primary key,
    collection text not null,
    version    integer not null,
    data       text not null
) without rowid;

-- Serves the only query of large collections: open documents by due time.
create index if not exists documents_open on documents (
    collection, json_extract(data, '$.open'), json_extract(data, '$.due_at'), path
);
create index if not exists documents_in_order on documents (collection, json_extract(data, '$.number'), path);

-- An object exists if its row does. Its bytes are in the file named by its generation.
create table if not exists objects (
    bucket     text not null,
    name       text not null,
    generation integer not null,
    size       integer not null,
    crc32c     text not null,
    primary key (bucket, name)
) without rowid;

-- One row for each message, task or storage event that is not delivered yet.
create table if not exists deliveries (
    id         integer primary key autoincrement,
    source     text not null,
    body       blob not null,
    not_before real not null,
    attempts   integer not null default 0,
    dead_lettered integer not null default 0
);
create index if not exists deliveries_due on deliveries (source, dead_lettered, not_before, id);
create index if not exists deliveries_repeated on deliveries (source, not_before, id) where dead_lettered = 0 and attempts > 0;

create table if not exists task_names (
    name     text primary key,
    taken_at real not null
) without rowid;
create index if not exists task_names_taken_at on task_names (taken_at);

-- Versions and generations: a number is never assigned twice, also after a deletion.
create table if not exists counter (value integer not null);
insert into counter select 1 where not exists (select * from counter);
