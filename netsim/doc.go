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
package netsim
