-- What each posting of an event does to the number of the side that posted it.
-- In: event (side, kind, ref, doc, sku, location, place, quantity, document_quantity, posted_at),
--     effect (kind, family, by_document, a, b), row_as_of (side, sku, location, as_of, as_of_hi).
-- The instants of a row, where it has its own, win over those of its snapshot.
create or replace temp view posting as
select
    e.*,
    f.family,
    f.by_document,
    case e.side when 'a' then f.a else f.b end as coefficient,
    case coefficient when 1 then quantity when -1 then -quantity else 0 end as change,
    coalesce(
        r.as_of,
        case e.side when 'a' then getvariable('as_of_a') else getvariable('as_of_b') end
    ) as as_of,
    coalesce(
        r.as_of_hi,
        case e.side when 'a' then getvariable('as_of_hi_a') else getvariable('as_of_hi_b') end
    ) as as_of_hi
from event e
join effect f using (kind)
left join row_as_of r using (side, sku, location);

-- Most lines are closed: both sides have counted the same, nothing moved since, one document.
-- They add nothing anywhere (closing lemma, DOMAIN 2.2). What remains is worth a closer look.
create or replace temp table open_line as
select sku, location, ref, family
from posting
where coefficient <> 0
group by sku, location, ref, family
having
    sum(case when posted_at > as_of then 0 when side = 'a' then change else -change end) <> 0
    or max(posted_at) > min(as_of)
    -- more than one document on a side (of texts, hashes are compared faster), or one that says what is expected
    or getvariable('documents') and (
        max(document_quantity) is not null
        or min(case side when 'a' then hash(doc) end) <> max(case side when 'a' then hash(doc) end)
        or min(case side when 'b' then hash(doc) end) <> max(case side when 'b' then hash(doc) end)
    );
