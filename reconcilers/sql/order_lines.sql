-- The lines and the orders of both sides, with second documents of one order taken out (DOMAIN 2.6).
-- In: given (a row an exported row of either side; `more` has the columns that are not ours).
-- `told` is the one value that all rows agree on, or all of them.
create or replace temp macro told(x) as case
    when count(distinct x) <= 1 then min(x)
    else string_agg(distinct x, ' + ' order by x)
end;

-- What a row without a document number belongs to: the copies of a row that is there again and again
-- are the first document, the second and so on.
create or replace temp table exported as
select
    * exclude (doc),
    doc is not null as has_doc,
    coalesce(doc, (row_number() over copies)::varchar) as doc,
    coalesce(quantity, 1) as weight
from given
window copies as (partition by side, ref, line, sku, quantity, price, discount, tax, doc order by placed_at, total);

-- The documents of an order in the order in which they came; those that are cancelled come last.
create or replace temp table document as
with several as (
    select side, ref from exported group by all having count(distinct doc) > 1
)
select
    side, ref, doc,
    any_value(has_doc) as has_doc,
    count(distinct line) as lines,
    coalesce(bool_and(status = 'cancelled'), false) as cancelled,
    row_number() over (partition by side, ref order by cancelled, min(placed_at) nulls last, doc) as place
from exported semi join several using (side, ref)
group by side, ref, doc;

-- A later document is a duplicate if the ones before it have everything that the other side ordered of
-- each of its lines; parts of an order that go out from several places are none. Rows without document
-- numbers say so only where every line of the order is there again.
create or replace temp table duplicate as
with
share as (
    select side, ref, doc, line, sum(weight) as weight
    from exported semi join document using (side, ref, doc)
    group by all
),
before as (
    select
        s.*, d.place, d.has_doc, d.cancelled, d.lines,
        coalesce(sum(weight) over earlier, 0) as earlier
    from share s join document d using (side, ref, doc)
    window earlier as (
        partition by side, ref, line order by place rows between unbounded preceding and 1 preceding
    )
),
whole as (
    select side, ref, count(distinct line) as lines from exported group by all
),
ordered as (
    select side, ref, line, sum(weight) as weight from exported group by all
)
select b.side, b.ref, b.doc, any_value(b.cancelled) as cancelled
from before b
join whole w using (side, ref)
left join ordered o on o.side <> b.side and o.ref = b.ref and o.line = b.line
group by b.side, b.ref, b.doc
having min(b.place) > 1
    and bool_and(b.earlier > 0 and b.earlier >= coalesce(o.weight, 0))
    and (bool_and(b.has_doc) or any_value(b.lines) = any_value(w.lines));

create or replace temp view kept as from exported anti join duplicate using (side, ref, doc);

-- One row a line: its rows add up. A price is that of one unit; where rows have several, their mean by
-- quantity, in whole steps of the smallest decimal place.
create or replace temp table line as
select
    side, ref, line,
    told(sku) as sku,
    sum(quantity)::amount as quantity,
    case
        when count(distinct price) <= 1 then max(price)
        else (
            sum((weight * getvariable('unit'))::hugeint * (price * getvariable('unit'))::hugeint)
            // nullif(sum((weight * getvariable('unit'))::hugeint), 0)
        )::decimal(18, 0) * getvariable('step')::decimal(10, 9)
    end::amount as price,
    sum(discount)::amount as discount,
    sum(tax)::amount as tax,
    told(currency) as currency,
    told(status) as status,
    min(placed_at) as placed_at,
    max(changed_at) as changed_at,
    -- what the line comes to; null where its price is not known
    (sum(weight * price) - coalesce(sum(discount), 0)
        + if(if(side = 'a', getvariable('tax_included_a'), getvariable('tax_included_b')), 0, coalesce(sum(tax), 0)))::decimal(38, 4) as amount
    {more}
from kept
group by side, ref, line;

-- One row an order. Its total and charges are those of its documents, each of which may repeat them in every row.
create or replace temp table head as
with paid as (
    select side, ref, sum(total) as total, sum(charges) as charges
    from (select side, ref, doc, max(total) as total, max(charges) as charges from kept group by all)
    group by all
)
select
    l.side, l.ref,
    count(*) as lines,
    sum(l.amount) as amount,
    bool_and(l.amount is not null) as priced,
    any_value(p.total) as total,
    any_value(p.charges) as charges,
    told(l.currency) as currency,
    min(l.placed_at) as placed_at,
    max(l.changed_at) as changed_at,
    coalesce(bool_and(l.status = 'cancelled'), false) as cancelled
from line l left join paid p using (side, ref)
group by l.side, l.ref;

create or replace temp table common as
select ref from head group by ref having count(*) = 2;
