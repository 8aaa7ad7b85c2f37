-- One row a document that only one side has counted: why, and by when it should clear.
-- `quantity` is its part of expected_diff: below zero, the target has counted a decrease (or the
-- authority an increase) that the other side has not.
create or replace temp table document as
with
-- What a return refers to: the order of the same line.
returned as (
    select
        sku, location, ref,
        greatest(o.placed_a, o.placed_b) > 0 as is_ordered,
        greatest(o.shipped_a, o.shipped_b) as shipped_in_all
    from line r
    join line o using (sku, location, ref)
    where r.family = 'return' and o.family = 'order'
),
open_document as (
    select
        l.*,
        counted_a - counted_b as quantity,
        greatest(cancelled_a, cancelled_b) as cancelled,
        greatest(placed_a, placed_b) as placed,
        greatest(shipped_a, shipped_b) as shipped,
        cancelled_a <> cancelled_b
            and (quantity > 0) = (cancelled_a > cancelled_b) as cancel_one_sided,
        coalesce(r.is_ordered, false) as is_ordered,
        coalesce(r.shipped_in_all, 0) as shipped_in_all
    from line l
    left join returned r using (sku, location, ref)
    where not cut_off and counted_a <> counted_b
),
-- What is behind it. Terminal states first: what shipped and was cancelled can never clear.
explained as (
    select
        *,
        case
            when family = 'order' then case
                -- the target's customer got something, the authority never sent this article
                when placed > 0 and shipped_a > 0 and shipped_b = 0 and cancelled_b > cancelled_a then 'SUBSTITUTED'
                when placed > 0 and cancelled > 0 and shipped > placed - cancelled and cancelled <= placed
                    then if(cancelled_at < shipped_at, 'CANCEL_NOT_PROPAGATED', 'CANCEL_AFTER_SHIP')
                when placed > 0 and cancelled > placed then 'RESTOCK_TWICE'
                when placed > 0 and shipped > placed then 'DUPLICATE_EVENT'
                when cancel_one_sided then 'CANCEL_NOT_PROPAGATED'
                when if(quantity < 0, getvariable('opening_a'), getvariable('opening_b')) = 'SHIP'
                    then 'SHIP_NOT_POSTED'
                when if(quantity < 0, getvariable('opening_b'), getvariable('opening_a')) = 'ALLOCATE'
                    then 'NOT_ALLOCATED'
                else 'ORDER_OPEN'
            end
            when family = 'return' then case
                when quantity > 0 and is_ordered and restocked > shipped_in_all then 'RESTOCK_TWICE'
                when quantity > 0 then 'RETURN_IN_TRANSIT'
                else 'RETURN_IN_QC'
            end
            when family = 'hold' then getvariable('hold_reason')
            when family = 'POS_SALE' then if(quantity < 0, 'POS_NOT_CLOSED', 'POS_SALE_NOT_POSTED')
            when family = 'POS_RETURN' then if(quantity > 0, 'POS_NOT_CLOSED', 'POS_SALE_NOT_POSTED')
            when family = 'RECEIPT' then 'RECEIPT_NOT_POSTED'
            when family = 'ADJUST' then 'ADJUSTMENT_NOT_PROPAGATED'
            when family = 'PUBLISH' then 'CORRECTION_IN_FLIGHT'
            -- kinds of the pair's own: both sides have it, and one has the same amount once more
            when starts_with(family, 'own') then if(
                counted_a <> 0 and counted_b <> 0 and counted_a * postings_b = counted_b * postings_a,
                'DUPLICATE_EVENT', 'EVENT_NOT_POSTED')
            else 'TRANSFER_IN_TRANSIT'
        end as reason_now
    from open_document
),
-- The event to show is the first one of the side that has counted more.
dated as (
    select
        *,
        reason_now in ('CANCEL_AFTER_SHIP', 'SUBSTITUTED', 'RESTOCK_TWICE', 'DUPLICATE_EVENT')
            or (reason_now = 'CANCEL_NOT_PROPAGATED' and placed > 0 and shipped > placed - cancelled) as terminal,
        reason_now in ('CANCEL_AFTER_SHIP', 'CANCEL_NOT_PROPAGATED') as by_cancel,
        abs(counted_a) > abs(counted_b) as a_is_ahead,
        case when by_cancel then 'CANCEL' when a_is_ahead then kind_a else kind_b end as kind,
        case
            when family = 'PUBLISH' then published_at
            when by_cancel and cancelled_a > cancelled_b then cancelled_at_a
            when by_cancel then coalesce(cancelled_at_b, cancelled_at_a)
            when a_is_ahead then first_a
            else first_b
        end as posted_at,
        if(a_is_ahead, first_a, first_b) as counted_at
    from explained
)
select
    getvariable('pair') as pair,
    d.sku, d.location, d.ref, d.kind, d.quantity, d.posted_at,
    -- a cancel that its own side never counts clears nothing: then the order itself is what is due
    -- what is left of a correction that arrived is what the target was told on purpose (safety stock)
    case
        when d.terminal or d.arrived then null
        when d.by_cancel and f.sla is null and if(cancelled_a > cancelled_b, f.a, f.b) = 0 then d.counted_at + p.sla
        else d.posted_at + f.sla
    end as clears_by,
    case
        when d.terminal then 'CONFLICT'
        when clears_by < getvariable('now') then 'LATE'
        else 'IN_FLIGHT'
    end as class,
    -- An open order that is overdue: was it never imported, or imported and never carried out?
    case
        when class = 'LATE' and reason_now in ('ORDER_OPEN', 'NOT_ALLOCATED') then case
            when if(quantity < 0, placed_b, placed_a) = 0 then 'ORDER_NOT_IMPORTED'
            when reason_now = 'NOT_ALLOCATED' then 'NOT_ALLOCATED'
            else 'SHIP_NOT_POSTED'
        end
        when class = 'LATE' and reason_now = 'POS_NOT_CLOSED' then 'POS_SALE_NOT_POSTED'
        else reason_now
    end as reason
from dated d
left join effect f on f.kind = d.kind
left join effect p on p.kind = 'PLACE';
