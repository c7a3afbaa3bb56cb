using Granary.Silo.CommandLine;

return await GranaryCommand.InvokeAsync(args);
