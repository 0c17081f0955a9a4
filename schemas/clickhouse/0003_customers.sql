-- Customers, their contact points' links, and the index that finds a customer's records.

{{ table("customer_rows") }}

CREATE VIEW IF NOT EXISTS customers
{{ columns("customers") }}
AS SELECT
    customer_id,
    any(tenant) AS tenant,
    max(contact).2 AS contact,
    min(first_seen) AS first_seen,
    max(last_seen) AS last_seen,
{% for name in ["name", "email", "phone", "handle", "address", "city", "origin", "gender", "birth_year", "segment"] %}
    max({{ name }}).2 AS {{ name }}{{ "" if loop.last else "," }}
{% endfor %}FROM customer_rows AS state
GROUP BY customer_id
{{ comment("customers") }};

{{ table("link_rows") }}

{{ view("links") }}

{{ table("customer_index") }}


CREATE VIEW IF NOT EXISTS people
{{ columns("people") }}
AS WITH strongest AS
(
    SELECT
        other_customer_id AS weaker_id,
        argMin(customer_id, (indexOf(['id', 'email', 'phone', 'handle'], splitByChar(':', contact)[1]), contact)) AS stronger_id
    FROM links
    GROUP BY other_customer_id
)
SELECT
    near.weaker_id AS customer_id,
    if(empty(far.stronger_id), near.stronger_id, far.stronger_id) AS person_id
FROM strongest AS near
LEFT JOIN strongest AS far ON near.stronger_id = far.weaker_id
{{ comment("people") }};
