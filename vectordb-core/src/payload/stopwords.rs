//! Words that carry little meaning, by language.

/// The words of a language, by its lower-case English name, separated by spaces.
pub(super) fn of_language(language: &str) -> Option<&'static str> {
    Some(match language {
        "english" => {
            // The list of NLTK, which BM25 encoders leave out as well.
            "a about above after again against ain all am an and any are aren aren't as at be because been before being below \
             between both but by can couldn couldn't d did didn didn't do does doesn doesn't doing don don't down during each few \
             for from further had hadn hadn't has hasn hasn't have haven haven't having he her here hers herself him himself his \
             how i if in into is isn isn't it it's its itself just ll m ma me mightn mightn't more most mustn mustn't my myself \
             needn needn't no nor not now o of off on once only or other our ours ourselves out over own re s same shan shan't she \
             she's should should've shouldn shouldn't so some such t than that that'll the their theirs them themselves then there \
             these they this those through to too under until up ve very was wasn wasn't we were weren weren't what when where \
             which while who whom why will with won won't wouldn wouldn't y you you'd you'll you're you've your yours yourself \
             yourselves"
        }
        "german" => {
            "aber alle als also am an auch auf aus bei bin bis bist da damit dann das dass dein deine dem den denn der des dich die \
             dies diese diesem diesen dieser dieses dir doch dort du durch ein eine einem einen einer eines er es etwas euch euer \
             für gegen hab habe haben hat hatte hier hin hinter ich ihm ihn ihnen ihr ihre im in ist ja jede jedem jeden jeder jedes \
             kann kein keine können man mein meine mich mir mit muss nach nicht nichts noch nun nur ob oder ohne sehr sein seine \
             sich sie sind so solche soll sondern um und uns unser unter viel vom von vor war waren was weil wenn werden wie wieder \
             will wir wird wo zu zum zur zwar zwischen über"
        }
        "french" => {
            "à ai au aux avec avait c ce ces cette d dans de des du elle elles en es est et été être eu il ils j je l la le les leur \
             leurs lui m ma mais me même mes moi mon n ne nos notre nous on ont ou où par pas pour qu que qui s sa se ses si son sont \
             sur t ta te tes toi ton tu un une vos votre vous y"
        }
        "spanish" => {
            "a al algo ante antes como con contra cual cuando de del desde donde dos el él ella ellas ellos en entre era es esa ese eso \
             esta está este esto estos fue ha hasta hay la las le les lo los más me mi mis mucho muy nada ni no nos nosotros o os \
             otra otro para pero poco por porque que qué quien se sea ser si sí sin sobre son su sus también te tiene todo tu un una \
             uno unos y ya yo"
        }
        "italian" => {
            "a ad agli ai al alla alle allo anche c che chi ci come con cui da dagli dai dal dalla de degli dei del della delle dello di \
             e è ed era essere gli ha hanno ho i il in io l la le lei li lo loro lui ma me mi mia mio ne nei nel nella no noi non o per \
             perché più quale quella quello questa questo se sei si sia sono su sua suo sul sulla ti tra tu tuo un una uno vi voi"
        }
        "portuguese" => {
            "a à ao aos as às até com como da das de dela dele deles do dos e é ela elas ele eles em entre era essa esse esta está este \
             eu foi há isso isto já lhe mais mas me mesmo meu minha muito na não nas nem no nos nós nossa nosso num numa o os ou para \
             pela pelo por qual quando que quem se sem ser seu sua são só também te tem um uma você"
        }
        "dutch" => {
            "aan al als altijd andere bij daar dan dat de der deze die dit doch doen door dus een en er ge geen geweest haar had heb \
             hebben heeft hem het hier hij hoe hun iemand iets ik in is ja je kan kon kunnen maar me meer men met mij mijn moet na \
             naar niet niets nog nu of om omdat onder ons ook op over reeds te tegen toch toen tot u uit uw van veel voor want waren \
             was wat werd wezen wie wil worden wordt zal ze zelf zich zij zijn zo zonder zou"
        }
        "russian" => {
            "а без более бы был была были было быть в вам вас весь во вот все всего всех вы где да даже для до его ее если есть еще же за \
             здесь и из или им их к как ко когда кто ли либо мне может мы на надо наш не него нее нет ни них но ну о об однако он она они \
             оно от очень по под при с со так также такой там те тем то того тоже той только том ты у уже хотя чего чей чем что чтобы эта \
             эти это я"
        }
        "swedish" => {
            "alla allt att av blev bli blir de dem den denna deras dess det detta dig din du där då efter ej eller en er ett från för ha \
             hade han hans har henne hennes hon hos hur här i icke ingen inom inte jag ju kan kunde man med mellan men mig min mot mycket \
             ni nu när någon något några och om oss på samma sedan sig sin sina sitta själv skulle som så till under upp ut utan vad var \
             vara vi vid vilken än är åt över"
        }
        _ => return None,
    })
}
