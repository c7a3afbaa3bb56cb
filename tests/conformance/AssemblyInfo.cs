// Tests look at this process's memory and at one silo's counters: they run one after another.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
