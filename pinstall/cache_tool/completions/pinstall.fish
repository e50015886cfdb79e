# fish completion of pinstall and pinstall-cache. In ~/.config/fish/config.fish:
#     pinstall-cache completion fish | source

# pip knows its own options: it is asked as its own completion asks it, for what comes behind "pip install".
function __fish_complete_pinstall
    set -l words (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token --cut-at-cursor)
    set -l pip (string replace --regex '[^/]*$' pip -- (command --search -- $words[1]))
    test -x "$pip"; or set pip pip
    set -lx COMP_WORDS pip install $words[2..-1]
    set -lx COMP_CWORD (math (count $COMP_WORDS) - 1)
    set -lx PIP_AUTO_COMPLETE 1
    string split \  -- ($pip 2>/dev/null)
end

complete --command pinstall --arguments '(__fish_complete_pinstall)'
complete --command pinstall --long-option explain
complete --command pinstall --short-option r --long-option requirement --require-parameter --force-files
complete --command pinstall --short-option c --long-option constraint --require-parameter --force-files

set -l commands dir info list show remove purge verify restore prune stats shared doctor map completion
complete --command pinstall-cache --no-files
complete --command pinstall-cache --condition "not __fish_seen_subcommand_from $commands" --arguments "$commands"
complete --command pinstall-cache --condition '__fish_seen_subcommand_from completion' --arguments 'bash fish zsh'
complete --command pinstall-cache --condition '__fish_seen_subcommand_from list' --long-option format --exclusive \
    --arguments 'human abspath json'
complete --command pinstall-cache --condition '__fish_seen_subcommand_from list' --long-option columns --exclusive \
    --arguments 'project version file kind size age used origin where'
complete --command pinstall-cache --condition '__fish_seen_subcommand_from verify' --long-option fix
complete --command pinstall-cache --condition '__fish_seen_subcommand_from prune' --long-option older-than --exclusive \
    --arguments '7d 30d 90d'
complete --command pinstall-cache --condition '__fish_seen_subcommand_from prune' --long-option dry-run
complete --command pinstall-cache --condition '__fish_seen_subcommand_from stats' --long-option zero
complete --command pinstall-cache --condition '__fish_seen_subcommand_from map' --long-option html --require-parameter --force-files
complete --command pinstall-cache --long-option cache-dir --require-parameter --force-files
complete --command pinstall-cache --long-option python --require-parameter --force-files
complete --command pinstall-cache --long-option help
