-- Postings as one a key, for numbers that are younger than all of them. It goes by the last of them. What adds up
-- to nothing, as a correction does that left nothing on purpose, needs none.
-- In: posted (events_schema).
create or replace temp view sum_of_postings as
select
    arg_max(event_id, (posted_at, event_id)) as event_id,
    'PUBLISH' as kind,
    arg_max(ref, (posted_at, event_id)) as ref,
    null::varchar as doc,
    sku,
    location,
    sum(quantity) as quantity,
    null as document_quantity,
    max(posted_at) as posted_at,
    'carried' as source_file,
    0 as source_line
from posted
group by sku, location
having sum(quantity) <> 0;
