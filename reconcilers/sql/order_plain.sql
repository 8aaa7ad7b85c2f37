-- Which orders are plainly the same: nothing dear is done with their rows.
-- In: export_a, export_b (a row an exported row).

-- What a line comes to; null where its price is not known.
create or replace temp macro worth(side, gross, discount, tax) as (
    gross - coalesce(discount, 0)
        + if(if(side = 'a', getvariable('tax_included_a'), getvariable('tax_included_b')), 0, coalesce(tax, 0))
)::decimal(38, 4);

-- Each line is there once on both sides, with the same values; so there is no second document either. Totals
-- may be wrong in spite of that, and add up by document: they must be exact, and the order one document.
create or replace temp table each_order as
with
a as ({lines_a}),
b as ({lines_b}),
added as (
    select
        ref,
        bool_and(coalesce(a.rows = 1 and b.rows = 1 and {same}, false)) as same,
        coalesce(min(a.doc) <> max(a.doc) or min(b.doc) <> max(b.doc), false) as several,
        max(a.total) as total_a, max(b.total) as total_b,
        coalesce(max(a.charges), 0) as charges_a, coalesce(max(b.charges), 0) as charges_b,
        if(bool_and(a.amount is not null), sum(a.amount), null) as amount_a,
        if(bool_and(b.amount is not null), sum(b.amount), null) as amount_b
    from a full join b using (ref, line)
    group by ref
)
select
    ref,
    same and not ({total_compared} and (
        several
        or coalesce(total_a <> amount_a + charges_a, false)
        or coalesce(total_b <> amount_b + charges_b, false)
        or coalesce(total_a - total_b <> coalesce(amount_a - amount_b, 0), false)
    )) as plain
from added;

-- The rows of all others.
create or replace temp table given as
with other as (select ref from each_order where not plain)
from export_a semi join other using (ref)
union all
from export_b semi join other using (ref);
