-- One row a line or document (sku, location, ref, family) that is not plainly closed:
-- what either side has counted, and the quantities and instants that tell what is still to come.
create or replace temp table line as
with
-- All postings of the open lines, also of kinds that move neither number: they say what happened.
candidate as (
    select p.* from posting p semi join open_line using (sku, location, ref)
),
-- A second backend document for one channel line is not expected (DOMAIN 2.6): the first one stays.
-- Parts of a line that go out from different places are no duplicates unless together they exceed it.
document as (
    select
        side, sku, location, ref, doc,
        arg_min(place, (posted_at, place)) as place,
        min(posted_at) as opened_at,
        sum(case kind when 'SHIP' then quantity else 0 end) as shipped,
        sum(case kind when 'PLACE' then quantity else 0 end) as placed
    from candidate
    where family = 'order' and doc is not null
    group by all
),
ranked as (
    select
        *,
        first(doc) over opened as first_doc,
        first(place) over opened as first_place,
        greatest(sum(shipped) over docs, sum(placed) over docs) as moved
    from document
    window
        docs as (partition by side, sku, location, ref),
        opened as (partition by side, sku, location, ref order by opened_at, doc)
),
ordered as (
    select sku, location, ref, sum(quantity) as quantity
    from candidate where kind = 'PLACE' and side = 'a' group by all
),
duplicate as (
    select r.side, r.sku, r.location, r.ref, r.doc
    from ranked r
    left join ordered o using (sku, location, ref)
    where r.doc <> r.first_doc and (r.place = r.first_place or r.moved > coalesce(o.quantity, 0))
),
judged as (
    select
        c.*,
        d.doc is not null as is_duplicate,
        c.posted_at <= c.as_of as inside,
        c.posted_at > c.as_of and c.posted_at <= c.as_of_hi as in_doubt,
        c.posted_at <= getvariable('now') as known
    from candidate c
    left join duplicate d using (side, sku, location, ref, doc)
),
folded as (
    select
        sku, location, ref, family,
        any_value(by_document) as by_document,
        -- what either number contains
        sum(change) filter (side = 'a' and inside and not is_duplicate) as change_a,
        sum(change) filter (side = 'b' and inside and not is_duplicate) as change_b,
        sum(change) filter (side = 'a' and inside and is_duplicate) as duplicate_a,
        sum(change) filter (side = 'b' and inside and is_duplicate) as duplicate_b,
        -- the same at the present instant, for what can be promised now
        sum(change) filter (side = 'a' and known and not is_duplicate) as now_a,
        sum(change) filter (side = 'b' and known and not is_duplicate) as now_b,
        sum(change) filter (side = 'b' and known and not inside and not is_duplicate) as since_b,
        -- how far the target's own number has moved since it was read, whatever anybody expects
        sum(change) filter (side = 'a' and known and not inside) as since_a,
        -- postings that may or may not be inside: each is one alternative
        sum(least(0, case side when 'a' then -change else change end)) filter (in_doubt) as doubt_lo,
        sum(greatest(0, case side when 'a' then -change else change end)) filter (in_doubt) as doubt_hi,
        -- transfers and receipts: the document's quantity is the expectation, in however many parts it is posted
        max(document_quantity) as document_quantity,
        greatest(
            sum(quantity) filter (side = 'a' and kind <> 'XFER_IN'), sum(quantity) filter (side = 'a' and kind = 'XFER_IN')
        ) as posted_a,
        greatest(
            sum(quantity) filter (side = 'b' and kind <> 'XFER_IN'), sum(quantity) filter (side = 'b' and kind = 'XFER_IN')
        ) as posted_b,
        sum(change) filter (side = 'a') as moved_a,
        sum(change) filter (side = 'b') as moved_b,
        -- both legs of a transfer inside one pool have the sign 0: together they move nothing
        sign(max(coefficient) filter (side = 'a') + min(coefficient) filter (side = 'a')) as sign_a,
        sign(max(coefficient) filter (side = 'b') + min(coefficient) filter (side = 'b')) as sign_b,
        -- quantities of the line so far, whether or not the number reacts to them
        sum(quantity) filter (kind = 'PLACE' and side = 'a' and known and not is_duplicate) as placed_a,
        sum(quantity) filter (kind = 'PLACE' and side = 'b' and known and not is_duplicate) as placed_b,
        sum(quantity) filter (kind = 'CANCEL' and side = 'a' and known and not is_duplicate) as cancelled_a,
        sum(quantity) filter (kind = 'CANCEL' and side = 'b' and known and not is_duplicate) as cancelled_b,
        sum(quantity) filter (kind = 'SHIP' and side = 'a' and known and not is_duplicate) as shipped_a,
        sum(quantity) filter (kind = 'SHIP' and side = 'b' and known and not is_duplicate) as shipped_b,
        sum(quantity) filter (kind = 'RESTOCK' and side = 'a' and known) as restocked_a,
        sum(quantity) filter (kind = 'RESTOCK' and side = 'b' and known) as restocked_b,
        sum(quantity) filter (kind = 'RETURN_RECV' and side = 'b' and known and coefficient <> 0)
            as received_b,
        sum(quantity) filter (kind = 'SCRAP' and known) as scrapped,
        -- when it began, on either side
        count(*) filter (side = 'a' and kind = getvariable('opening_a')) > 0 as opened_a,
        count(*) filter (side = 'b' and kind = getvariable('opening_b')) > 0 as opened_b,
        count(*) filter (side = 'a' and inside and coefficient <> 0) as postings_a,
        count(*) filter (side = 'b' and inside and coefficient <> 0) as postings_b,
        min(posted_at) filter (side = 'a' and inside and coefficient <> 0) as first_a,
        min(posted_at) filter (side = 'b' and inside and coefficient <> 0) as first_b,
        min(posted_at) filter (kind = 'CANCEL') as cancelled_at,
        min(posted_at) filter (kind = 'CANCEL' and side = 'a') as cancelled_at_a,
        min(posted_at) filter (kind = 'CANCEL' and side = 'b') as cancelled_at_b,
        min(posted_at) filter (kind = 'SHIP') as shipped_at,
        -- a correction of ours is two postings: the fault as it was found, and the write that ends it
        max(posted_at) filter (kind = 'PUBLISH') as published_at,
        coalesce(bool_and(inside) filter (kind = 'PUBLISH'), false) as arrived,
        arg_min(kind, posted_at) filter (side = 'a' and inside and coefficient <> 0) as kind_a,
        arg_min(kind, posted_at) filter (side = 'b' and inside and coefficient <> 0) as kind_b
    from judged
    group by sku, location, ref, family
)
select
    sku, location, ref, family,
    -- The document of a transfer or receipt: what it says, else what the authority posted.
    coalesce(document_quantity, posted_b, posted_a) as stated,
    sign_a * stated as due_a,
    sign_b * stated as due_b,
    if(sign_a < 0, -1, 1) as way_a,
    if(sign_b < 0, -1, 1) as way_b,
    -- What was posted beyond the document (below zero: is missing), and nobody expects: of all postings, as a part
    -- that comes later makes up for what is short; but no more than the number has of it already.
    if(by_document and change_a is not null,
        least(way_a * (moved_a - due_a), greatest(0, way_a * (change_a - due_a))), 0) as overposted_a,
    if(by_document and change_b is not null,
        least(way_b * (moved_b - due_b), greatest(0, way_b * (change_b - due_b))), 0) as overposted_b,
    overposted_a + overposted_b as overposted,
    way_a * overposted_a - way_b * overposted_b as misposted,
    coalesce(change_a, 0) - way_a * overposted_a as counted_a,
    coalesce(change_b, 0) - way_b * overposted_b as counted_b,
    coalesce(duplicate_a, 0) - coalesce(duplicate_b, 0) as duplicated,
    coalesce(now_a, 0) as now_a,
    coalesce(now_b, 0) as now_b,
    coalesce(since_b, 0) as since_b,
    coalesce(since_a, 0) as since_a,
    coalesce(doubt_lo, 0) as doubt_lo,
    coalesce(doubt_hi, 0) as doubt_hi,
    coalesce(placed_a, 0) as placed_a,
    coalesce(placed_b, 0) as placed_b,
    coalesce(cancelled_a, 0) as cancelled_a,
    coalesce(cancelled_b, 0) as cancelled_b,
    coalesce(shipped_a, 0) as shipped_a,
    coalesce(shipped_b, 0) as shipped_b,
    greatest(coalesce(restocked_a, 0), coalesce(restocked_b, 0)) as restocked,
    coalesce(received_b, 0) as received_b,
    coalesce(scrapped, 0) as scrapped,
    postings_a, postings_b,
    first_a, first_b, cancelled_at, cancelled_at_a, cancelled_at_b, shipped_at, published_at, arrived, kind_a, kind_b,
    -- The chain of a line is complete or it does not count (DOMAIN 2.2): where one side counts the
    -- line at an earlier step than the other, that step must be in its feed; else the look-back
    -- window cut it off, and nobody can say what the numbers contain.
    family = 'order' and case getvariable('opens_first')
        when 'a' then not opened_a
        when 'b' then not opened_b
        else opened_a <> opened_b and kind_a is not null and kind_b is not null
    end as cut_off,
    -- But what one side counts after the other's feed ends may have begun meanwhile: that step is not told yet.
    cut_off and coalesce(case getvariable('opens_first')
        when 'a' then first_b > getvariable('watermark_a')
        when 'b' then first_a > getvariable('watermark_b')
    end, false) as untold
from folded;
