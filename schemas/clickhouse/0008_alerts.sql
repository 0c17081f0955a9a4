-- What live raises while things happen: spikes and changes of level, with their evidence.

{{ table("alert_rows") }}

{{ view("alerts") }}
