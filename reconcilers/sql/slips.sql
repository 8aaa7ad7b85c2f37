-- Of a pair with kinds of its own: the one event whose amount is exactly what nothing explains, so that one of
-- the numbers may have it twice, or leave it out.
-- In: level, posting.
insert into hint
with suspect as (
    select
        p.sku, p.location, l.unexplained, p.kind || ' ' || p.ref as event,
        if(p.side = 'a', p.change, -p.change) = l.unexplained as is_twice,
        if(is_twice, 'twice in ', 'left out of ') || if(p.side = 'a', 'the target', 'the authority') as what
    from posting p
    join level l using (sku, location)
    where l.class = 'BREAK' and p.posted_at <= p.as_of and abs(p.change) = abs(l.unexplained)
)
select
    sku, location, unexplained as quantity,
    if(bool_or(is_twice), 'DUPLICATE_EVENT', 'EVENT_NOT_POSTED') as reason,
    any_value(event) || ' ' || concat_ws(', or ', max(what), nullif(min(what), max(what))) as evidence
from suspect
group by sku, location, unexplained
having count(distinct event) = 1;
