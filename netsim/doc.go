// Package netsim is the simulated world: tasks, clock and network of any
// number of processes, run by one thread from one seed.
//
// A [World] resumes one task at a time, chosen by a seeded policy, until none
// is ready; then its clock jumps to the next timer. Tasks are coroutines that
// run ordinary blocking code over [env.Env]. A [Proc] is a process: it is
// started, killed, paused and started again, each time as a new incarnation
// with an [Env] of its own. Hosts are joined by [Link]s that delay, stall and
// lose connections. The disk comes from outside, see [Disk].
//
// Two runs of one seed take the same steps: [World.Hash] covers their order,
// the times, and every byte sent or written. Nothing in here reads a wall
// clock or starts a goroutine, the watchdog excepted.
//
// Start at [World.Run]; then [task.park] and [Proc.end].
//
// # How to simulate a program
//
// Make a [World] from a seed, and a [Proc] for each process with the disk and
// the object store that it is to have (package diskdrv). [Proc.Start] runs a
// [Main]: what main would call in production. [World.After] is where faults come
// from: it calls a function between two steps, outside every task, and that
// kills, pauses, takes power, cuts links or changes how they are. [World.Run]
// lets time pass; [World.Do] runs a last process, such as a test's own client,
// and returns its error.
//
// What a run promises is checked in three places. Options.OnNote is told of what
// parts note (Env.Trace) before they go on: an observer there sees all
// processes at once, disks too, and stops the run with [World.Fail]. Clients
// note their calls in a history of package linearizability. And a run that
// stands still, panics or never comes to its end is a [Failure] by itself, with
// the stacks of all that wait.
//
// Then loop over seeds. A failing one fails again in any other process, as long
// as the code is the same: [World.Hash] shows it, Options.Guard finds what is
// not deterministic. Package picture makes a page of it.
package netsim
