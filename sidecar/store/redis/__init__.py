"""The store for several sidecars: one Redis or Valkey server, or a cluster of them.

What is done with it is in `rollouts.py`, `feedback.py`, `sessions.py`, `jobs.py`, `secrets.py` and
`leases.py`: one method for one promise of `base.py`. Whatever must happen as a whole is one script
in `lua/`. How the server is reached, and what happens when it is not, is told in `link.py`; how the
request path writes without waiting, in `recorder.py`.

The keys, after the prefix (`store.prefix`). What stands in braces decides the cluster's node, so
one session, one job, all feedback are each in one place. Session ids hold no colon, so none of
them meets the keys that belong to all.

    {S}:rollout:R       hash    `assignment`; `turn:T` and, until it is pruned, `content:T`  expires
    {S}:recent          list    assignments, newest first                          bounded, expires
    {S}:chain:K         string  the rollout id of the newest turn with that chain key      expires
    {S}:chains          list    [chain key, rollout id], newest first              bounded, expires
    {S}:tally           hash    candidate id -> assignments
    {S}:counts          hash    `turns`
    {S}:captured        zset    [rollout id, turn id] by start: what prune empties          pruned
    {S}:journal         list    entries; sequence number = place
    {S}:keys            set     the journal's keys
    {S}:last            hash    =subject -> sequence number of its newest reward
    {S}:fence           string  the highest fencing token used on the journal
    {S}:snapshot        hash    `seq`, `state`
    where:R             set     sessions that have rollout id R                             expires
    answer:C            set     [session id, rollout id] that hold completion C             expires
    said:F              zset    the same for a reply with fingerprint F, by start  bounded, expires

    {:feedback}:event:E hash    `body`, `received_at`, once attributed `session`, `rollout`  expires
    {:feedback}:waiting zset    event ids without a rollout, in order
    {:feedback}:parked  zset    the same by when they expire
    {:feedback}:of:S/R  hash    event id -> event                       expires once all is reported
    {:feedback}:row:S/R hash    the outbox's row of a rollout           expires once all is reported
    {:feedback}:due     zset    S/R to report, by when they became due
    {:feedback}:later   zset    S/R put off, by when they are due again
    {:feedback}:dead    zset    S/R given up, by when
    {:feedback}:counts  hash    `feedback:S`, `rewards:S`

    {:sessions}:records hash, {:sessions}:order list, {:sessions}:seen set
    {:jobs}:records     hash, {:jobs}:order list
    {job:J}:events      list, {job:J}:keys set, {job:J}:last hash, {job:J}:fence: as a session's
    {job:J}:types       zset    type and sequence number of every event
    {job:J}:artifacts   hash    name -> content
    {:secrets}:values   hash    name -> time, newline, value
    {lease:N}:holder    string, expires with the lease; {lease:N}:token its count of grants
    {:meta}:schema      string  the version of all this

What expires does so `store.retention_days` after it was last written. Journals, records and files
of jobs do not: they are what the sidecar has promised to remember.
"""
