using System.CommandLine;

return await new RootCommand("Talks to a Granary cluster.").Parse(args).InvokeAsync();
