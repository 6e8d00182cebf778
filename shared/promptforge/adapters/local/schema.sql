-- Everything one machine must not lose, in one file: a commit moves all of it or nothing.

create table if not exists documents (
    path       text primary key,
    collection text not null,
    version    integer not null,
    data       text not null
) without rowid;

-- Serves "which are open, soonest due first": the only question that is asked of large collections.
create index if not exists documents_open on documents (
    collection, json_extract(data, '$.open'), json_extract(data, '$.due_at'), path
);
create index if not exists documents_in_order on documents (collection, json_extract(data, '$.number'), path);

-- An object exists when its row does; its bytes lie in the file named by its generation.
create table if not exists objects (
    bucket     text not null,
    name       text not null,
    generation integer not null,
    size       integer not null,
    crc32c     text not null,
    primary key (bucket, name)
) without rowid;

-- One row a message, task or storage event that is still owed to a function.
create table if not exists deliveries (
    id         integer primary key autoincrement,
    source     text not null,
    body       blob not null,
    not_before real not null,
    attempts   integer not null default 0,
    dead       integer not null default 0
);
create index if not exists deliveries_due on deliveries (source, dead, not_before, id);
create index if not exists deliveries_again on deliveries (source, not_before, id) where dead = 0 and attempts > 0;

create table if not exists task_names (
    name     text primary key,
    taken_at real not null
) without rowid;
create index if not exists task_names_taken_at on task_names (taken_at);

-- Versions and generations: a number is never given twice, also not after a deletion.
create table if not exists counter (value integer not null);
insert into counter select 1 where not exists (select * from counter);
