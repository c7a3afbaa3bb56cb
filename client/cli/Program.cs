using Granary.Client.Cli.CommandLine;

return await GranaryCli.InvokeAsync(args, CliContext.OfProcess());
